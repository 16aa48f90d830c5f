package import Delivery
package import MailModel
import Synchronization

/// Remembers hosts that took mail in clear text after a TLS handshake had failed, so that each message does not pay for
/// finding out again (RFC 7435 §4.1).
///
/// Only what would go in clear text anyhow, after one more failure, makes use of it; it is forgotten after some hours, or
/// when the host refuses clear text.
package final class ClearTextMemory: Sendable {
    private struct Key: Hashable {
        var host: String
        var address: IPAddress
    }

    private struct State {
        var hosts: [Key: ClearTextHost] = [:]
        var isLoaded = false
    }

    private static let span = Duration.seconds(6 * 3_600)
    private static let limit = 4_096

    private let archive: (any SecurityArchive)?
    private let now: @Sendable () -> Timestamp
    private let state = Mutex(State())

    package init(archive: (any SecurityArchive)?, now: @escaping @Sendable () -> Timestamp) {
        self.archive = archive
        self.now = now
    }

    /// The failure for which TLS is not tried at this address of a host; nil when it is to be tried.
    func failure(of host: String, _ address: IPAddress) async -> ClearTextHost? {
        await self.load()
        let now = self.now()
        let known = self.state.withLock { $0.hosts[Key(host: host.lowercased(), address: address)] }
        return known.flatMap { $0.until > now ? $0 : nil }
    }

    func remember(_ host: String, _ address: IPAddress, _ reason: String) {
        let entry = ClearTextHost(
            host: host.lowercased(),
            address: address,
            until: self.now() + Self.span,
            reason: String(reason.prefix(200))
        )
        self.add(entry)
        self.archive?.keep(entry)
    }

    /// Lets TLS be tried again.
    func forget(_ host: String, _ address: IPAddress) {
        let key = Key(host: host.lowercased(), address: address)
        guard var entry = self.state.withLock({ $0.hosts.removeValue(forKey: key) }) else {
            return
        }
        entry.until = self.now()
        self.archive?.keep(entry)
    }

    private func add(_ entry: ClearTextHost) {
        self.state.withLock { state in
            if state.hosts.count >= Self.limit, let other = state.hosts.keys.first {
                state.hosts[other] = nil
            }
            state.hosts[Key(host: entry.host, address: entry.address)] = entry
        }
    }

    /// Takes over what earlier runs of the gateway saw, once.
    private func load() async {
        guard let archive = self.archive, !self.state.withLock({ $0.isLoaded }) else {
            return
        }
        let kept = await archive.clearTextHosts(at: self.now())
        let isFirst = self.state.withLock { state in
            defer { state.isLoaded = true }
            return !state.isLoaded
        }
        if isFirst {
            kept.prefix(Self.limit).forEach(self.add)
        }
    }
}
