import DNSProtocol
import DNSResolver
import Delivery
import HTTPAPI
import MailModel
import NIOCore
import Synchronization

/// What the checks may use: the very parts that deliver.
struct DoctorSurroundings: Sendable {
    let configuration: GatewayConfiguration
    let resolver: ResolverChain
    let providers: [any Provider]
    let group: any EventLoopGroup
    /// Nil where there is no store yet, or where it cannot be read.
    let history: (any History)?
    /// Why there is no history although there is a store.
    let storeTrouble: String?
    /// Ways that are left alone, in words.
    let breakers: [(name: String, text: String)]
    /// How many more there are, in words.
    let otherBreakers: [String]
    let isRunning: Bool
    /// Nobody asked: hosts are left alone that mail does not need.
    let isInBackground: Bool
    /// Since when sources fail, as the background watch has seen.
    let failingSince: [String: Timestamp]
    /// The domain that is looked up and called.
    let domain: String
    let spool: String
    let now: Timestamp
    /// When no further question is asked.
    let deadline: ContinuousClock.Instant
    /// What checks hear that others need.
    let notes = DoctorNotes()

    /// The way that goes straight to exchangers, with its name; nil when there is none.
    var direct: (name: String, settings: DirectSettings)? {
        self.configuration.providers.lazy.compactMap { settings in
            if case .directMX(let direct) = settings.kind { (settings.name, direct) } else { nil }
        }.first
    }

    /// Hosts of the configured smarthosts.
    var smarthosts: [String] {
        self.configuration.providers.compactMap { settings in
            if case .smarthost(let smarthost) = settings.kind { smarthost.host } else { nil }
        }
    }

    /// Names of smarthosts and APIs that must resolve for the chain to work, with the port that is called.
    var hosts: [(provider: String, host: String, port: Int)] {
        self.configuration.providers.compactMap { settings in
            switch settings.kind {
            case .directMX: nil
            case .smarthost(let smarthost): (settings.name, smarthost.host, smarthost.port)
            case .sendgrid(let api), .mailgun(let api):
                ProviderFactory.endpoint(of: settings.kind, api).map { (settings.name, $0.host, $0.port ?? 443) }
            }
        }
    }

    /// Domains that mail waits for, those of the most recipients in the whole store first; without the one that is looked up.
    func waitingDomains() async -> [String] {
        // A store that cannot be read is told of by the check of the queue.
        let domains = (try? await self.history?.waitingDomains(limit: 5)) ?? []
        return Array(domains.filter { $0 != self.domain }.prefix(4))
    }

    /// Domains in whose name mail is sent, those of the most mail in the whole store first, what is not finished before the
    /// rest; the configured one when there is none.
    func senderDomains() async -> [String] {
        let domains = (try? await self.history?.senderDomains(limit: 5)) ?? []
        return domains.isEmpty ? [self.configuration.domain] : domains
    }
}

/// What one check heard and another one needs.
final class DoctorNotes: Sendable {
    private let heard = Mutex<Set<IPAddress>>([])

    /// Addresses under which servers have seen us.
    var ownAddresses: Set<IPAddress> {
        self.heard.withLock { $0 }
    }

    func hear(_ address: IPAddress) {
        self.heard.withLock { _ = $0.insert(address) }
    }
}
