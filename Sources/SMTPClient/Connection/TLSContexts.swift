import NIOCore
import NIOSSL
import Synchronization

/// Makes TLS contexts once, since reading the trust roots takes milliseconds.
final class TLSContexts: Sendable {
    private struct Key: Hashable {
        var verified: Bool
        var required: Bool
        var trustRootsFile: String?
    }

    private let contexts = Mutex<[Key: NIOSSLContext]>([:])

    func handler(for hop: NextHop) throws -> NIOSSLClientHandler {
        let context = try self.context(for: hop)
        // An address has no place in SNI; the certificate must then bear the address itself.
        if hop.host.hasPrefix("[") || (try? SocketAddress(ipAddress: hop.host, port: 0)) != nil {
            return try NIOSSLClientHandler(context: context, serverHostname: nil)
        }
        return try NIOSSLClientHandler(context: context, serverHostname: hop.host)
    }

    private func context(for hop: NextHop) throws -> NIOSSLContext {
        let key = Key(verified: hop.tls.isVerified, required: hop.tls.isRequired, trustRootsFile: hop.trustRootsFile)
        if let known = self.contexts.withLock({ $0[key] }) {
            return known
        }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = key.verified ? .fullVerification : .none
        // Where clear text is the alternative, an old version is better than none (RFC 7435 §3).
        configuration.minimumTLSVersion = key.required ? .tlsv12 : .tlsv1
        if key.verified, let path = key.trustRootsFile {
            configuration.additionalTrustRoots = [.file(path)]
        }
        let context = try NIOSSLContext(configuration: configuration)
        self.contexts.withLock { $0[key] = context }
        return context
    }
}

extension TLSVersion {
    var name: String {
        switch self {
        case .tlsv1: "TLSv1"
        case .tlsv11: "TLSv1.1"
        case .tlsv12: "TLSv1.2"
        case .tlsv13: "TLSv1.3"
        }
    }
}
