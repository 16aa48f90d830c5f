package import DNSProtocol
package import MailModel
import Synchronization

/// A resolver that knows what a literal table says; other names do not exist.
package final class ScriptedResolver: Resolver {
    private let exchangers: [String: Lookup<MailExchanger>]
    private let hosts: [String: Lookup<IPAddress>]
    private let staleAge: Duration?
    private let asked = Mutex<[String]>([])

    package init(
        exchangers: [String: Lookup<MailExchanger>] = [:],
        addresses: [String: Lookup<IPAddress>] = [:],
        staleAge: Duration? = nil
    ) {
        self.exchangers = exchangers
        self.hosts = addresses
        self.staleAge = staleAge
    }

    /// The questions in the order in which they were asked: `MX example.test`, `A mx.example.test`.
    package var questions: [String] {
        self.asked.withLock { $0 }
    }

    package func mailExchangers(of domain: String) async -> Resolution<MailExchanger> {
        self.resolution(of: "MX \(domain)", self.exchangers[domain])
    }

    package func addresses(of host: String) async -> Resolution<IPAddress> {
        self.resolution(of: "A \(host)", self.hosts[host])
    }

    private func resolution<Record>(of question: String, _ lookup: Lookup<Record>?) -> Resolution<Record> {
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
        return Resolution(lookup: lookup, observations: [observation], staleAge: self.staleAge)
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
