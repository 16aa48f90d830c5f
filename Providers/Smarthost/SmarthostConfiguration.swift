package import SMTPClient

/// A relay that takes our mail for any recipient, mostly with a login.
package struct SmarthostConfiguration: Sendable {
    /// The host's name, or an address; the certificate must bear it unless `tlsName` is set.
    package var host: String
    package var port: Int
    package var tls: TLSPolicy
    /// The name that the certificate bears, where it differs from `host`.
    package var tlsName: String?
    /// A PEM file of trust roots beside the system's.
    package var trustRootsFile: String?
    package var credentials: SMTPCredentials?
    /// Lets AUTH go in clear text; never but for a host on the same machine.
    package var allowsClearTextLogin = false
    /// What we call ourselves.
    package var heloName: String
    /// The largest message in octets, beside what the server announces.
    package var sizeLimit: Int?
    package var timeouts = StageTimeouts()
    package var limits: HopLimits

    /// STARTTLS with a verified certificate is the default; 465 wants `.required(.implicit, .verified)`.
    package init(
        host: String,
        port: Int = 587,
        tls: TLSPolicy = .required(.startTLS, .verified),
        credentials: SMTPCredentials? = nil,
        heloName: String
    ) {
        self.host = host
        self.port = port
        self.tls = tls
        self.credentials = credentials
        self.heloName = heloName
        var limits = HopLimits()
        limits.connections = 10
        self.limits = limits
    }
}
