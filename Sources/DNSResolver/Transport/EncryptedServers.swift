import DNSProtocol
import MailModel
import NIOCore
import NIOSSL
import Synchronization

/// The connections to servers of DNS over TLS, one for each, shared by all that ask it.
final class EncryptedServers: Sendable {
    private struct State {
        var context: NIOSSLContext?
        var servers: [DNSSource: EncryptedServer] = [:]
    }

    private let group: any EventLoopGroup
    private let trustRootsFile: String?
    private let state = Mutex(State())

    init(group: any EventLoopGroup, trustRootsFile: String?) {
        self.group = group
        self.trustRootsFile = trustRootsFile
    }

    /// The server of a source; throws when its address or the trust roots cannot be used.
    func server(
        _ source: DNSSource,
        _ host: String,
        _ address: IPAddress,
        _ port: Int
    ) throws(TransportFailure) -> EncryptedServer {
        if let known = self.state.withLock({ $0.servers[source] }) {
            return known
        }
        guard let place = try? SocketAddress(ipAddress: "\(address)", port: port) else {
            throw .unreachable("unusable address")
        }
        let context = try self.context()
        // The certificate must bear the address itself where there is no name.
        let name = IPAddress(host) == nil ? host : nil
        return self.state.withLock { state in
            let server =
                state.servers[source]
                ?? EncryptedServer(loop: self.group.next(), address: place, context: context, name: name)
            state.servers[source] = server
            return server
        }
    }

    /// Closes all connections; the next question opens new ones.
    func close() {
        let servers = self.state.withLock { state in
            defer { state.servers = [:] }
            return Array(state.servers.values)
        }
        servers.forEach { $0.close() }
    }

    /// Made once, since reading the trust roots takes milliseconds.
    private func context() throws(TransportFailure) -> NIOSSLContext {
        if let known = self.state.withLock({ $0.context }) {
            return known
        }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["dot"]
        if let path = self.trustRootsFile {
            configuration.additionalTrustRoots = [.file(path)]
        }
        do {
            let context = try NIOSSLContext(configuration: configuration)
            self.state.withLock { $0.context = context }
            return context
        } catch {
            throw .unreachable("the trust roots cannot be read")
        }
    }
}
