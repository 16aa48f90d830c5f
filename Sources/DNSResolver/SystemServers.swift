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
    private struct State {
        var checkedAt: ContinuousClock.Instant?
        var contents: [UInt8]?
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
    ///
    /// It is small enough to be read each time, by its path: neither another file in its place nor another text of the same
    /// length in the same second goes unnoticed, as with dates and sizes they would.
    func current() -> [IPAddress] {
        self.state.withLock { state in
            let now = ContinuousClock.now
            if let checkedAt = state.checkedAt, now - checkedAt < Self.checkInterval {
                return state.servers
            }
            state.checkedAt = now
            let contents = self.read()
            if !state.hasRead || contents != state.contents {
                self.take(contents, &state)
            }
            return state.servers
        }
    }

    /// Looks at the file at the next question, however short ago it was looked at.
    func lookAgain() {
        self.state.withLock { $0.checkedAt = nil }
    }

    private func take(_ contents: [UInt8]?, _ state: inout State) {
        let before = state.servers
        let isFirst = !state.hasRead
        state.contents = contents
        state.hasRead = true
        state.servers = contents.map { ResolvConf(String(decoding: $0, as: UTF8.self)).servers } ?? []
        let names = state.servers.map(\.description).joined(separator: " ")
        if state.servers.isEmpty {
            self.logger.warning("\(self.path) is missing or names no server; the other DNS sources are used")
        } else if !isFirst, before != state.servers {
            self.logger.notice("\(self.path) has changed", metadata: ["servers": "\(names)"])
        }
    }

    private func read() -> [UInt8]? {
        // Whatever stands there instead of a file, such as a pipe without a writer, is not waited for.
        let descriptor = open(self.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            return nil
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while bytes.count < Self.sizeLimit {
            let room = Self.sizeLimit - bytes.count
            let part = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                count = max(0, readOctets(descriptor, buffer.baseAddress, room))
            }
            guard !part.isEmpty else {
                break
            }
            bytes += part
        }
        return bytes
    }
}

/// read(2) under a name that the method beside it does not hide.
private let readOctets = read
