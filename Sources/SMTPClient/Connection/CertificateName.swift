import NIOSSL

/// Whether a certificate bears a host's name (RFC 6125 §6.4).
///
/// NIOSSL checks this too, but it also takes a certificate for the *address* that was connected to. Addresses come from the
/// DNS, and certificates for addresses are to be had: whoever forged the answer could then show one and read our password.
enum CertificateName {
    static func matches(_ host: String, _ certificate: NIOSSLCertificate) -> Bool {
        certificate._subjectAlternativeNames().contains { name in
            name.nameType == .dnsName && Self.matches(host, pattern: String(decoding: name.contents, as: UTF8.self))
        }
    }

    /// A star stands for the whole of the first label and no more.
    static func matches(_ host: String, pattern: String) -> Bool {
        let host = (host.hasSuffix(".") ? String(host.dropLast()) : host).lowercased()
        let pattern = pattern.lowercased()
        guard pattern.hasPrefix("*.") else {
            return host == pattern
        }
        guard let dot = host.firstIndex(of: "."), dot != host.startIndex else {
            return false
        }
        return host[dot...] == pattern.dropFirst()
    }
}
