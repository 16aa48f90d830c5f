import DNSProtocol
import MailModel
import Synchronization

@testable import Gateway

/// A zone in a literal, keyed by type and name: `TXT app.test`, `A mx.app.test`, `MX app.test`, `PTR 192.0.2.1`.
final class ScriptedLookups: SenderLookups {
    private let zone: [String: [String]]
    /// What cannot be asked.
    private let unavailable: Set<String>
    private let log = Mutex<[String]>([])

    init(_ zone: [String: [String]], unavailable: Set<String> = []) {
        self.zone = zone
        self.unavailable = unavailable
    }

    /// What was asked, in order.
    var questions: [String] { self.log.withLock { $0 } }

    func text(of name: String) async -> Lookup<String> {
        self.find("TXT", name) { $0 }
    }

    func addresses(of host: String) async -> Lookup<IPAddress> {
        self.find("A", host) { IPAddress($0) }
    }

    func mailExchangers(of domain: String) async -> Lookup<MailExchanger> {
        self.find("MX", domain) { MailExchanger(preference: 10, host: $0) }
    }

    func pointers(of address: IPAddress) async -> Lookup<String> {
        self.find("PTR", "\(address)") { $0 }
    }

    private func find<Record>(_ type: String, _ name: String, _ read: (String) -> Record?) -> Lookup<Record> {
        let key = "\(type) \(name.lowercased())"
        self.log.withLock { $0.append(key) }
        if self.unavailable.contains(key) {
            return .unavailable(Unavailability("nobody answers"))
        }
        guard let records = self.zone[key] else {
            return .noSuchName(timeToLive: .zero)
        }
        return .records(records.compactMap(read), timeToLive: .zero)
    }
}
