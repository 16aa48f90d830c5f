import MailModel
import SMTPServer
import Synchronization

/// Passwords that wait to be hashed: so many and no more, of one customer half of them, and the same one once.
final class HashingQueue: Sendable {
    /// Takes two to three seconds on two cores.
    static let limit = 64
    /// So that nobody keeps all others waiting: an IPv4 address, or a /64 of IPv6.
    static let networkLimit = 32

    /// A user name and a password as they are compared.
    typealias Token = [UInt8]

    /// What somebody who brings a password is to do.
    enum Turn: Hashable {
        /// Hash it, and then call `end`.
        case ours
        /// Somebody else has brought the same, and this came of it.
        case theirs(AuthenticationResult)
        case full
    }

    private struct State {
        /// Those who wait for somebody else's hash, by what is hashed.
        var others: [Token: [CheckedContinuation<Turn, Never>]] = [:]
        var networks: [IPAddress: Int] = [:]
    }

    private let state = Mutex(State())

    /// Passwords that are hashed or wait for it.
    var count: Int {
        self.state.withLock { $0.others.count }
    }

    /// Those who wait for the hash of somebody else.
    var companions: Int {
        self.state.withLock { $0.others.values.reduce(0) { $0 + $1.count } }
    }

    func turn(_ token: Token, from address: IPAddress) async -> Turn {
        await withCheckedContinuation { continuation in
            let turn = self.state.withLock { state -> Turn? in
                guard state.others[token]?.append(continuation) == nil else {
                    return nil
                }
                let pending = state.networks[address.network] ?? 0
                guard state.others.count < Self.limit, pending < Self.networkLimit else {
                    return .full
                }
                state.others[token] = []
                state.networks[address.network] = pending + 1
                return .ours
            }
            if let turn {
                continuation.resume(returning: turn)
            }
        }
    }

    /// Tells all who brought the same what came of it.
    func end(_ token: Token, from address: IPAddress, _ result: AuthenticationResult) {
        let others = self.state.withLock { state in
            let pending = (state.networks[address.network] ?? 1) - 1
            state.networks[address.network] = pending == 0 ? nil : pending
            return state.others.removeValue(forKey: token) ?? []
        }
        for other in others {
            other.resume(returning: .theirs(result))
        }
    }
}
