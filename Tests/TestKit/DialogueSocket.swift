import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A plain client socket on loopback that plays dialogues against a live server.
///
/// Blocking calls run on a pool of their own, so that the server under test keeps the shared one; each gives up after ten seconds.
package final class DialogueSocket: DialoguePeer, Sendable {
    package struct Unconnected: Error {}

    private static let pool: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 32)
        pool.start()
        return pool
    }()

    private let descriptor: Int32
    private let pending = Mutex<[UInt8]>([])

    package init(port: Int) throws {
        self.descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(self.descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            throw Unconnected()
        }
    }

    deinit {
        close(self.descriptor)
    }

    package func send(_ octets: [UInt8]) async throws {
        let descriptor = self.descriptor
        try await Self.pool.runIfActive {
            var sent = 0
            while sent < octets.count {
                let count = octets[sent...].withUnsafeBytes {
                    systemSend(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                // The server has closed: what it said before is what the test wants to see.
                guard count > 0 else {
                    return
                }
                sent += count
            }
        }
    }

    package func send(_ text: String) async throws {
        try await self.send(Array(text.utf8))
    }

    package func line() async throws -> String? {
        let descriptor = self.descriptor
        return try await Self.pool.runIfActive {
            while true {
                let line: String? = self.pending.withLock { pending in
                    guard let end = pending.firstIndex(of: 10) else {
                        return nil
                    }
                    let text = pending[..<max(0, end - 1)]
                    defer { pending.removeSubrange(...end) }
                    return String(decoding: text, as: UTF8.self)
                }
                if let line {
                    return line
                }
                var buffer = [UInt8](repeating: 0, count: 4_096)
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0 else {
                    return nil
                }
                self.pending.withLock { $0 += buffer[..<count] }
            }
        }
    }

    /// Lines up to the last one of a reply, which is returned.
    package func reply() async throws -> String? {
        while let line = try await self.line() {
            if line.utf8.dropFirst(3).first != UInt8(ascii: "-") {
                return line
            }
        }
        return nil
    }
}

private func systemSend(_ descriptor: Int32, _ octets: UnsafeRawPointer?, _ count: Int, _ flags: Int32) -> Int {
    send(descriptor, octets, count, flags)
}
