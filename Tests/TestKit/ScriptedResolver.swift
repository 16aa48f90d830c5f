package import DNSProtocol
package import MailModel
import Synchronization

/// A resolver that knows what a literal table says; other names do not exist.
package final class ScriptedResolver: Resolver {
    private let exchangers: [String: Lookup<MailExchanger>]
    private let hosts: [String: Lookup<IPAddress>]
    private let texts: [String: Lookup<String>]
    private let associations: [String: Lookup<TLSAssociation>]
    private let secureNames: Set<String>
    private let staleAge: Duration?
    private let asked = Mutex<[String]>([])

    /// Makes a resolver; answers about `secureNames` count as validated.
    package init(
        exchangers: [String: Lookup<MailExchanger>] = [:],
        addresses: [String: Lookup<IPAddress>] = [:],
        texts: [String: Lookup<String>] = [:],
        associations: [String: Lookup<TLSAssociation>] = [:],
        secureNames: Set<String> = [],
        staleAge: Duration? = nil
    ) {
        self.exchangers = exchangers
        self.hosts = addresses
        self.texts = texts
        self.associations = associations
        self.secureNames = secureNames
        self.staleAge = staleAge
    }

    /// The questions in the order in which they were asked: `MX example.test`, `A mx.example.test`.
    package var questions: [String] {
        self.asked.withLock { $0 }
    }

    package func mailExchangers(of domain: String) async -> Resolution<MailExchanger> {
        self.resolution(of: "MX", domain, self.exchangers[domain])
    }

    package func addresses(of host: String) async -> Resolution<IPAddress> {
        self.resolution(of: "A", host, self.hosts[host])
    }

    package func text(of name: String) async -> Resolution<String> {
        self.resolution(of: "TXT", name, self.texts[name])
    }

    package func tlsAssociations(of name: String) async -> Resolution<TLSAssociation> {
        self.resolution(of: "TLSA", name, self.associations[name])
    }

    private func resolution<Record>(
        of type: String,
        _ name: String,
        _ lookup: Lookup<Record>?
    ) -> Resolution<Record> {
        let question = "\(type) \(name)"
        self.asked.withLock { $0.append(question) }
        let lookup = lookup ?? .noSuchName(timeToLive: .seconds(60))
        let result =
            switch lookup {
            case .records(let records, timeToLive: _): "\(records.count) records"
            case .noData: "no data"
            case .noSuchName: "NXDOMAIN"
            case .unavailable: "no answer"
            }
        let observation = SourceObservation(source: "script", question: question, result: result, elapsed: .zero)
        return Resolution(
            lookup: lookup,
            observations: [observation],
            staleAge: self.staleAge,
            isSecure: self.secureNames.contains(name)
        )
    }
}

extension Lookup<IPAddress> {
    /// Addresses from their text forms; what is no address is left out.
    package static func hosts(_ texts: String...) -> Lookup<IPAddress> {
        .records(texts.compactMap { IPAddress($0) }, timeToLive: .seconds(300))
    }
}

extension Lookup<MailExchanger> {
    /// Exchangers with preferences 10, 20, 30 and so on.
    package static func exchangers(_ hosts: String...) -> Lookup<MailExchanger> {
        let records = hosts.enumerated().map {
            MailExchanger(preference: UInt16(10 + 10 * $0.offset), host: $0.element)
        }
        return .records(records, timeToLive: .seconds(300))
    }
}
