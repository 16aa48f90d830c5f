#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A port on loopback that answers no connection: its queue is full and nobody takes from it, so that SYNs are dropped.
package final class SilentListener: Sendable {
    package let port: Int
    private let descriptors: [Int32]

    /// Listens while the body runs, on the address `lastOctet` behind 127.0.0.0; on any free port when `port` is 0.
    package static func run<Result>(
        lastOctet: UInt32 = 1,
        port: Int = 0,
        _ body: (SilentListener) async throws -> Result
    ) async throws -> Result {
        let listener = try SilentListener(lastOctet: lastOctet, port: port)
        defer {
            listener.descriptors.forEach { _ = close($0) }
        }
        return try await body(listener)
    }

    private init(lastOctet: UInt32, port: Int) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = (0x7F00_0000 + lastOctet).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 0) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard listener >= 0, isListening else {
            throw Unavailable(errorNumber: errno)
        }
        self.port = Int(in_port_t(bigEndian: address.sin_port))
        // One more than the backlog is let in; what comes then finds no place.
        let fillers = (0..<4).map { _ in
            let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            _ = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(filler, $0, length) }
            }
            return filler
        }
        self.descriptors = [listener] + fillers
    }

    package struct Unavailable: Error {
        package let errorNumber: Int32
    }
}
