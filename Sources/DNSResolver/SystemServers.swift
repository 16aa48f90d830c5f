import DNSProtocol
import Logging
import MailModel
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The servers of resolv.conf, read again whenever the file is another one or has other contents.
///
/// No state is frozen at start: a container engine may write the file late, and an operator may mend it.
final class SystemServers: Sendable {
    private struct Fingerprint: Equatable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int64
        var nanoseconds: Int64
    }

    private struct State {
        var checkedAt: ContinuousClock.Instant?
        var fingerprint: Fingerprint?
        var servers: [IPAddress] = []
        var hasRead = false
    }

    /// The most of the file that is read, in octets.
    private static let sizeLimit = 65_536
    private static let checkInterval = Duration.seconds(1)

    private let path: String
    private let logger: Logger
    private let state = Mutex(State())

    init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    /// The servers as the file names them now; looked at no more than once a second.
    func current() -> [IPAddress] {
        self.state.withLock { state in
            let now = ContinuousClock.now
            if let checkedAt = state.checkedAt, now - checkedAt < Self.checkInterval {
                return state.servers
            }
            state.checkedAt = now
            let fingerprint = self.fingerprint()
            if !state.hasRead || fingerprint != state.fingerprint {
                self.reread(&state, fingerprint)
            }
            return state.servers
        }
    }

    /// Looks at the file at the next question, however short ago it was looked at.
    func lookAgain() {
        self.state.withLock { $0.checkedAt = nil }
    }

    private func reread(_ state: inout State, _ fingerprint: Fingerprint?) {
        let before = state.servers
        let isFirst = !state.hasRead
        state.fingerprint = fingerprint
        state.hasRead = true
        state.servers = self.read().map { ResolvConf($0).servers } ?? []
        let names = state.servers.map(\.description).joined(separator: " ")
        if state.servers.isEmpty {
            self.logger.warning("\(self.path) is missing or names no server; the other DNS sources are used")
        } else if !isFirst, before != state.servers {
            self.logger.notice("\(self.path) has changed", metadata: ["servers": "\(names)"])
        }
    }

    private func fingerprint() -> Fingerprint? {
        var info = stat()
        guard stat(self.path, &info) == 0 else {
            return nil
        }
        return Fingerprint(
            device: UInt64(info.st_dev),
            inode: UInt64(info.st_ino),
            size: Int64(info.st_size),
            seconds: Int64(info.st_mtim.tv_sec),
            nanoseconds: Int64(info.st_mtim.tv_nsec)
        )
    }

    private func read() -> String? {
        let descriptor = open(self.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            return nil
        }
        defer { close(descriptor) }
        let bytes = [UInt8](unsafeUninitializedCapacity: Self.sizeLimit) { buffer, count in
            count = max(0, readOctets(descriptor, buffer.baseAddress, Self.sizeLimit))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// read(2) under a name that the method beside it does not hide.
private let readOctets = read
