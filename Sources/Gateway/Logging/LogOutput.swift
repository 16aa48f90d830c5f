import MailModel
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Standard output for log lines: callers append under a lock, one thread writes.
package final class LogOutput: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var dropped = 0
        var isStopping = false
    }

    /// Octets that may wait for a reader who does not read; what comes beyond is counted and dropped.
    private static let limit = 8 << 20

    /// Microseconds between two writes.
    private static let pause: UInt32 = 10_000

    private let state = Mutex(State())
    private let descriptor: Int32
    private let bell = Bell()

    /// Writes to a descriptor; 1 is standard output.
    package init(descriptor: Int32 = 1) {
        self.descriptor = descriptor
    }

    /// Starts the thread that writes; it lives as long as the process.
    package func start() {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(
            &thread,
            nil,
            { context in
                if let context {
                    Unmanaged<LogOutput>.fromOpaque(context).takeRetainedValue().run()
                }
                return nil
            },
            context
        )
        precondition(status == 0, "no thread for the log: errno \(status)")
        pthread_detach(thread)
    }

    func append(_ line: [UInt8]) {
        let isFirst = self.state.withLock { state in
            guard state.pending.count < Self.limit else {
                state.dropped += 1
                return false
            }
            defer { state.pending += line }
            return state.pending.isEmpty
        }
        if isFirst {
            self.bell.ring()
        }
    }

    /// Writes what waits, now; called at the end.
    package func flush() {
        let bytes = self.state.withLock { state in
            var bytes: [UInt8] = []
            swap(&bytes, &state.pending)
            if state.dropped > 0 {
                bytes += "\(state.dropped) log lines were dropped\n".utf8
                state.dropped = 0
            }
            return bytes
        }
        self.write(bytes)
    }

    private func run() {
        while true {
            self.bell.wait()
            self.flush()
            // The first line goes at once; those that follow it closely go together, for a wake-up a line costs more
            // than the line.
            usleep(Self.pause)
        }
    }

    private func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { writeOctets(self.descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                // Nobody reads any more; there is nowhere else to say it.
                return
            }
        }
    }
}

private let writeOctets = write

/// Wakes one waiting thread; a ring while nobody waits is remembered.
///
/// `@unchecked Sendable`: a POSIX semaphore is made to be shared between threads.
private final class Bell: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() {
        sem_init(self.semaphore, 0, 0)
    }

    deinit {
        sem_destroy(self.semaphore)
        self.semaphore.deallocate()
    }

    func ring() {
        sem_post(self.semaphore)
    }

    func wait() {
        while sem_wait(self.semaphore) != 0 {}
    }
}
