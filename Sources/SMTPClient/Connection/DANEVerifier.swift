import Crypto
import DNSProtocol
import NIOSSL
package import SMTPProtocol
import SwiftASN1
import X509

/// Judges the certificates that a server presented by its TLSA records (RFC 7672 §3.1, RFC 7671 §5).
package enum DANEVerifier {
    /// Certificates of a server that are looked at.
    private static let chainLimit = 12

    /// What is known without building a chain.
    package enum Finding: Hashable, Sendable {
        case matched
        /// One of these, of the presented certificates or of the records themselves, must prove to have issued the first.
        case anchors([[UInt8]])
        case failed(CertificateFault)
    }

    /// Compares the presented certificates, in their DER form and the server's own first, with the records.
    ///
    /// A match of usage 3 is enough by itself, whatever names and dates the certificate bears (RFC 7672 §3.1.1).
    package static func compare(_ presented: [[UInt8]], with associations: DANEAssociations) -> Finding {
        guard let own = presented.first else {
            return .failed(.noAssociation)
        }
        if associations.records.contains(where: { $0.usage == 3 && $0.matches(own) }) {
            return .matched
        }
        let trustAnchors = associations.records.filter { $0.usage == 2 }
        let issuers = presented.dropFirst().prefix(Self.chainLimit)
        var anchors = issuers.filter { issuer in trustAnchors.contains { $0.matches(issuer) } }
        // RFC 7671 §5.2.2: with a whole certificate in the DNS the server need not present it.
        anchors += trustAnchors.filter { $0.selector == 0 && $0.matchingType == 0 }.map(\.data)
        return anchors.isEmpty ? .failed(.noAssociation) : .anchors(anchors)
    }

    /// Whether one of the anchors issued the server's certificate, by way of the others, for one of the names; nil when so.
    package static func fault(
        of presented: [[UInt8]],
        under anchors: [[UInt8]],
        names: [String]
    ) async -> CertificateFault? {
        guard let own = presented.first, let leaf = try? Certificate(derEncoded: own) else {
            return .notTrusted
        }
        let issuers = presented.dropFirst().prefix(Self.chainLimit).compactMap { try? Certificate(derEncoded: $0) }
        let roots = anchors.compactMap { try? Certificate(derEncoded: $0) }
        var verifier = Verifier(rootCertificates: CertificateStore(roots)) {
            RFC5280Policy()
            HandledElsewhere()
        }
        guard case .validCertificate = await verifier.validate(leaf: leaf, intermediates: CertificateStore(issuers))
        else {
            return .notTrusted
        }
        let certificate = try? NIOSSLCertificate(bytes: own, format: .der)
        let bearsName = certificate.map { certificate in names.contains { CertificateName.matches($0, certificate) } }
        return bearsName == true ? nil : .hostMismatch
    }
}

/// Names are compared by `CertificateName`, as for every other certificate; this keeps a critical field of theirs from
/// being called unknown.
private struct HandledElsewhere: VerifierPolicy {
    let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [
        .X509ExtensionID.subjectAlternativeName, .X509ExtensionID.extendedKeyUsage,
    ]

    func chainMeetsPolicyRequirements(chain: UnverifiedCertificateChain) -> PolicyEvaluationResult {
        let usage = try? chain.leaf.extensions.extendedKeyUsage
        guard usage.map({ $0.contains(.serverAuth) || $0.contains(.any) }) ?? true else {
            return .failsToMeetPolicy(reason: "not for a server")
        }
        return .meetsPolicy
    }
}

extension TLSAssociation {
    /// Whether the record speaks of this certificate in DER form.
    func matches(_ certificate: [UInt8]) -> Bool {
        let selected: [UInt8]?
        switch self.selector {
        case 0: selected = certificate
        case 1: selected = publicKeyInfo(of: certificate)
        default: selected = nil
        }
        guard let selected else {
            return false
        }
        switch self.matchingType {
        case 0: return selected == self.data
        case 1: return SHA256.hash(data: selected).elementsEqual(self.data)
        case 2: return SHA512.hash(data: selected).elementsEqual(self.data)
        default: return false
        }
    }
}

/// The octets of the SubjectPublicKeyInfo as they stand in a certificate (RFC 5280 §4.1); nil when it is malformed.
///
/// Not by way of a parsed key, which might be written anew in another form than that which was hashed.
private func publicKeyInfo(of certificate: [UInt8]) -> [UInt8]? {
    guard let whole = try? DER.parse(certificate), let toBeSigned = children(of: whole).first else {
        return nil
    }
    let parts = children(of: toBeSigned)
    let versionTag = ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific)
    // version (where there), serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    let index = parts.first?.identifier == versionTag ? 6 : 5
    return index < parts.count ? Array(parts[index].encodedBytes) : nil
}

private func children(of node: ASN1Node) -> [ASN1Node] {
    switch node.content {
    case .constructed(let nodes): Array(nodes)
    case .primitive: []
    }
}
