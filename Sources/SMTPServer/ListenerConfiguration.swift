package import MailModel
package import SMTPProtocol

/// One listener: where it listens and whom it serves.
package struct ListenerConfiguration: Sendable {
    package enum TLSMode: String, Hashable, Sendable {
        case none
        case starttls
        /// TLS from the first octet, as on port 465 (RFC 8314 §3.3).
        case implicit
    }

    /// The operator's name for it, in logs and submissions.
    package var name: String
    /// An address such as `127.0.0.1`, `0.0.0.0` or `::`.
    package var host: String
    /// 0 lets the system choose.
    package var port: Int
    package var tlsMode: TLSMode
    package var authPolicy: SessionPolicy.Authentication
    package var authWithoutTLS: Bool
    /// Networks whose clients may relay without AUTH.
    package var allowedNetworks: [CIDRBlock]
    package var limits: ServerLimits
    /// Our name in the greeting.
    package var hostname: String
    /// The domain supplied to addresses without one.
    package var qualifyDomain: String

    package init(
        name: String,
        host: String,
        port: Int,
        tlsMode: TLSMode = .none,
        authPolicy: SessionPolicy.Authentication = .none,
        authWithoutTLS: Bool = false,
        allowedNetworks: [CIDRBlock] = [],
        limits: ServerLimits = ServerLimits(),
        hostname: String,
        qualifyDomain: String
    ) {
        self.name = name
        self.host = host
        self.port = port
        self.tlsMode = tlsMode
        self.authPolicy = authPolicy
        self.authWithoutTLS = authWithoutTLS
        self.allowedNetworks = allowedNetworks
        self.limits = limits
        self.hostname = hostname
        self.qualifyDomain = qualifyDomain
    }

    /// Whether a client at this address may relay without AUTH.
    func allows(_ address: IPAddress) -> Bool {
        self.allowedNetworks.contains { $0.contains(address) }
    }
}

/// The bounds of a listener.
package struct ServerLimits: Sendable {
    /// The bounds of each session: message size, recipients, lines, errors.
    package var session = SessionLimits()
    package var connections = 4_096
    package var connectionsPerAddress = 64
    /// For clients in an allowed network and on loopback.
    package var connectionsPerTrustedAddress = 1_000
    /// The longest silence between commands and within content.
    package var commandTimeout = Duration.seconds(300)
    /// Until EHLO, and until AUTH where that is required.
    package var firstCommandTimeout = Duration.seconds(60)
    /// The same silence when connections or memory run short.
    package var crowdedTimeout = Duration.seconds(20)
    /// Octets a second that content must average once `contentGrace` is over.
    package var contentRate = 500
    package var contentGrace = Duration.seconds(300)
    /// How long an error reply is held back once there were many errors.
    package var errorDelay = Duration.seconds(1)
    /// Content beyond this goes to a spool instead of memory, in octets.
    package var memoryThreshold = 256 * 1_024
    /// Octets that a client may send ahead while it has to wait.
    package var inputAhead = 64 * 1_024
    /// Octets of replies that may wait for a client to read them.
    package var outputAhead = 16 * 1_024

    package init() {}
}
