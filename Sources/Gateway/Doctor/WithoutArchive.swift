import Delivery
import MailModel

/// Keeps nothing about the TLS of others: for a look round without a store, which delivers no mail.
struct WithoutArchive: SecurityArchive {
    func stsPolicy(of domain: String) async -> KeptPolicy? { nil }
    func keep(_ policy: KeptPolicy) {}
    func clearTextHosts(at now: Timestamp) async -> [ClearTextHost] { [] }
    func keep(_ host: ClearTextHost) {}
    func count(_ result: TLSResult, at now: Timestamp) {}
}
