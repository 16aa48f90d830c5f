import Crypto
package import MailModel
import NIOCore
import NIOPosix
package import SMTPServer
import Synchronization

/// Checks names and passwords against the hashes of the configuration, on threads of its own.
package final class PasswordAuthenticator: Authenticator {
    /// How long a success spares the next hashing: Django logs in anew for each message.
    private static let memory = Duration.seconds(300)
    private static let memoryLimit = 1_000

    private let hashes: [String: PasswordHash]
    /// Takes as long as a real one, so that time does not tell which users exist.
    private let decoy: PasswordHash
    /// Keys the memory of successes; new for each process, so that nothing in memory is a hash of a password alone.
    private let key = SymmetricKey(size: .bits256)
    private let known = Mutex<[HashingQueue.Token: ContinuousClock.Instant]>([:])
    private let queue = HashingQueue()
    /// Guesses wait for each other here, and never for the threads that write large mail to disk.
    private static let pool: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: max(1, System.coreCount / 2))
        pool.start()
        return pool
    }()

    package init(users: [String: PasswordHash]) throws {
        self.hashes = users
        self.decoy = try PasswordHash(of: "nobody")
    }

    @concurrent
    package func authenticate(
        user: String,
        password: String,
        from address: IPAddress,
        isWanted: @escaping @Sendable () -> Bool
    ) async -> AuthenticationResult {
        let message = Array("\(user.utf8.count):\(user)\(password)".utf8)
        let token = Array(HMAC<SHA256>.authenticationCode(for: message, using: self.key))
        while true {
            if self.known.withLock({ $0[token].map { $0 > .now } ?? false }) {
                return .accepted
            }
            switch await self.queue.turn(token, from: address) {
            case .full: return .busy
            case .ours:
                let result = await self.check(user, password, isWanted)
                if result == .accepted {
                    self.remember(token)
                }
                self.queue.end(token, from: address, result)
                return result
            case .theirs(.abandoned):
                // Only the other one is not wanted any more.
                guard isWanted() else {
                    return .abandoned
                }
            case .theirs(let result): return result
            }
        }
    }

    private func check(
        _ user: String,
        _ password: String,
        _ isWanted: @escaping @Sendable () -> Bool
    ) async -> AuthenticationResult {
        let hash = self.hashes[user]
        let candidate = hash ?? self.decoy
        // The pool lasts as long as the process and refuses nothing.
        let result = try? await Self.pool.runIfActive { () -> AuthenticationResult in
            guard isWanted() else {
                return .abandoned
            }
            return candidate.matches(password) && hash != nil ? .accepted : .refused
        }
        return result ?? .busy
    }

    private func remember(_ token: HashingQueue.Token) {
        self.known.withLock { known in
            if known.count >= Self.memoryLimit {
                known = [:]
            }
            known[token] = .now + Self.memory
        }
    }
}
