import Logging
import NIOSSL
import Synchronization

/// The certificate of one listener as it was read last; connections that begin their TLS later see what is read again.
final class ListenerCertificate: Sendable {
    private let listener: String
    private let files: @Sendable () throws -> SelfSignedCertificate.Files
    private let logger: Logger
    private let current: Mutex<NIOSSLContext>

    /// Reads the listener's own files, else those that are made in the data directory; throws what is wrong with them.
    init(_ settings: ListenerSettings, directory: String, hostname: String, logger: Logger) throws {
        self.listener = settings.name
        self.logger = logger
        if let certificate = settings.certificateFile, let key = settings.keyFile {
            self.files = { SelfSignedCertificate.Files(certificate: certificate, key: key) }
        } else {
            self.files = { try SelfSignedCertificate.files(in: "\(directory)/tls", hostname: hostname) }
            logger.notice(
                "listener \(settings.name) uses a self-signed certificate; set certificate-file and key-file"
            )
        }
        self.current = Mutex(try Self.context(try self.files(), for: settings.name))
    }

    /// For the next handshake.
    var context: NIOSSLContext {
        self.current.withLock { $0 }
    }

    /// Reads the files again; what cannot be used leaves the certificate of before where it is, and is logged.
    func readAgain() {
        do {
            let context = try Self.context(try self.files(), for: self.listener)
            self.current.withLock { $0 = context }
            self.logger.notice("certificate read again", metadata: ["listener": "\(self.listener)"])
        } catch {
            self.logger.error("the certificate of before stays in use: \(error)")
        }
    }

    static func context(_ files: SelfSignedCertificate.Files, for listener: String) throws -> NIOSSLContext {
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(files.certificate).map(NIOSSLCertificateSource.certificate)
            let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
            var tls = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
            tls.minimumTLSVersion = .tlsv12
            return try NIOSSLContext(configuration: tls)
        } catch {
            throw StartupFailure(
                "listeners.\(listener): the certificate \(files.certificate) with the key \(files.key) cannot be used: "
                    + "\(error)"
            )
        }
    }
}
