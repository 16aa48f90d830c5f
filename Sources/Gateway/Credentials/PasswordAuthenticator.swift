import Crypto
package import MailModel
import NIOCore
import NIOPosix
import SMTPServer
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
    private let known = Mutex<[Data32: ContinuousClock.Instant]>([:])
    /// Guesses wait for each other here, and never for the threads that write large mail to disk.
    private static let pool: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: max(1, System.coreCount / 2))
        pool.start()
        return pool
    }()

    private struct Data32: Hashable {
        var bytes: [UInt8]
    }

    package init(users: [String: PasswordHash]) throws {
        self.hashes = users
        self.decoy = try PasswordHash(of: "nobody")
    }

    @concurrent
    package func authenticate(user: String, password: String, from address: IPAddress) async -> Bool {
        let message = Array("\(user.utf8.count):\(user)\(password)".utf8)
        let token = Data32(bytes: Array(HMAC<SHA256>.authenticationCode(for: message, using: self.key)))
        if self.known.withLock({ $0[token].map { $0 > .now } ?? false }) {
            return true
        }
        let hash = self.hashes[user]
        let candidate = hash ?? self.decoy
        // The pool lasts as long as the process and refuses nothing.
        let matches = (try? await Self.pool.runIfActive { candidate.matches(password) }) ?? false
        guard matches, hash != nil else {
            return false
        }
        self.known.withLock { known in
            if known.count >= Self.memoryLimit {
                known = [:]
            }
            known[token] = .now + Self.memory
        }
        return true
    }
}
