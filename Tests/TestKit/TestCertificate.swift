import class Foundation.Bundle

/// A self-signed certificate for `localhost` and its key, which everybody knows: for tests only.
package enum TestCertificate {
    /// Holds `test-only-certificate.pem` and `test-only-key.pem`.
    package static var folder: String? {
        Bundle.module.bundleURL.appendingPathComponent("Fixtures/TLS").path
    }
}
