import NIOSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What is wrong with files that the configuration names, in words for the operator; nil where nothing is.
enum ConfiguredFiles {
    static func unreadable(_ path: String) -> String? {
        guard access(path, R_OK) != 0 else {
            return nil
        }
        let code = errno
        let user = code == EACCES ? " for user \(geteuid())" : ""
        return "\(path) cannot be read: \(String(cString: strerror(code)))\(user)"
    }

    static func certificates(_ path: String) -> String? {
        if let trouble = self.unreadable(path) {
            return trouble
        }
        // Whatever the library says of it, there is none.
        guard let certificates = try? NIOSSLCertificate.fromPEMFile(path), !certificates.isEmpty else {
            return "\(path) holds no certificate in PEM form"
        }
        return nil
    }

    /// A certificate and a key that are each for themselves what they should be.
    static func pair(certificate: String, key: String) -> String? {
        guard self.certificates(certificate) == nil, self.key(key) == nil else {
            return nil
        }
        // The one thing left that can be wrong.
        let context = try? ListenerCertificate.context(.init(certificate: certificate, key: key), for: "")
        return context == nil ? "\(key) is not the key of \(certificate)" : nil
    }

    static func key(_ path: String) -> String? {
        if let trouble = self.unreadable(path) {
            return trouble
        }
        // Whatever the library says of it, there is none.
        let key = try? NIOSSLPrivateKey(file: path, format: .pem)
        return key == nil ? "\(path) holds no private key in PEM form" : nil
    }
}
