import Crypto
import FoundationEssentials
import MailModel
import SwiftASN1
import X509

/// The certificate of a listener that was given none: made once, kept in the data directory, renewed before it ends.
///
/// Clients that verify certificates do not accept it, but traffic is encrypted where nobody verifies, which is how the
/// Postfix containers that we replace were run.
enum SelfSignedCertificate {
    /// Paths of the PEM files.
    struct Files: Sendable {
        let certificate: String
        let key: String
    }

    private static let validity: TimeInterval = 2 * 365 * 86_400
    private static let renewBefore: TimeInterval = 30 * 86_400

    /// Returns the files in `directory`, making them where they are missing, damaged, about to end or for another name.
    static func files(in directory: String, hostname: String) throws -> Files {
        let files = Files(certificate: "\(directory)/self-signed.crt", key: "\(directory)/self-signed.key")
        if self.isUsable(files, for: hostname) {
            return files
        }
        let key = P256.Signing.PrivateKey()
        let certificate = try self.make(for: hostname, key: key)
        let manager = FileManager.default
        try manager.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try self.write(key.pemRepresentation, to: files.key)
        try self.write(certificate.serializeAsPEM().pemString, to: files.certificate)
        return files
    }

    private static func isUsable(_ files: Files, for hostname: String) -> Bool {
        // Whatever cannot be read or parsed is made anew.
        guard let pem = try? String(contentsOfFile: files.certificate, encoding: .utf8),
            let certificate = try? Certificate(pemEncoded: pem),
            (try? String(contentsOfFile: files.key, encoding: .utf8)) != nil,
            let names = try? certificate.extensions.subjectAlternativeNames
        else {
            return false
        }
        return names.contains(.dnsName(hostname))
            && certificate.notValidAfter > Date(timeIntervalSinceNow: self.renewBefore)
    }

    private static func make(for hostname: String, key: P256.Signing.PrivateKey) throws -> Certificate {
        let name = try DistinguishedName { CommonName(String(hostname.prefix(64))) }
        let privateKey = Certificate.PrivateKey(key)
        let now = Date()
        return try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: privateKey.publicKey,
            notValidBefore: now.addingTimeInterval(-3_600),
            notValidAfter: now.addingTimeInterval(self.validity),
            issuer: name,
            subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                SubjectAlternativeNames([.dnsName(hostname), .dnsName("localhost")])
            },
            issuerPrivateKey: privateKey
        )
    }

    /// Writes a file that only its owner may read, whole or not at all.
    private static func write(_ text: String, to path: String) throws {
        let manager = FileManager.default
        let temporary = path + ".new"
        guard
            manager.createFile(
                atPath: temporary,
                contents: Data(text.utf8),
                attributes: [.posixPermissions: 0o600]
            )
        else {
            throw StartupFailure("cannot write \(temporary): check that the data directory is writable")
        }
        if manager.fileExists(atPath: path) {
            try manager.removeItem(atPath: path)
        }
        try manager.moveItem(atPath: temporary, toPath: path)
    }
}
