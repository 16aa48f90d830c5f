import MailModel
import NIOSSL
import Synchronization

/// Makes TLS contexts once, since reading the trust roots takes milliseconds.
final class TLSContexts: Sendable {
    private struct Key: Hashable {
        var verified: Bool
        var dane: Bool
        var required: Bool
        var trustRootsFile: String?
    }

    private let contexts = Mutex<[Key: NIOSSLContext]>([:])

    /// Makes the handler of one connection; why it refused a certificate is then in `verdict`.
    func handler(for hop: NextHop, verdict: CertificateVerdict) throws -> NIOSSLClientHandler {
        let context = try self.context(for: hop)
        guard let associations = hop.tls.associations else {
            return try NIOSSLClientHandler(context: context, serverHostname: Self.name(of: hop))
        }
        return try NIOSSLClientHandler(context: context, serverHostname: associations.serverName) { chain, promise in
            verdict.judge(chain, by: associations, promise: promise)
        }
    }

    /// The name for SNI and the certificate; nil for an address, which the certificate must then bear itself.
    static func name(of hop: NextHop) -> String? {
        hop.host.hasPrefix("[") || IPAddress(hop.host) != nil ? nil : hop.host
    }

    private func context(for hop: NextHop) throws -> NIOSSLContext {
        let key = Key(
            verified: hop.tls.isVerified,
            dane: hop.tls.associations != nil,
            required: hop.tls.isRequired,
            trustRootsFile: hop.trustRootsFile
        )
        if let known = self.contexts.withLock({ $0[key] }) {
            return known
        }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification =
            key.verified ? .fullVerification : key.dane ? .noHostnameVerification : .none
        if key.dane {
            // The TLSA records are all the trust there is; BoringSSL is not asked.
            configuration.trustRoots = .certificates([])
        }
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
