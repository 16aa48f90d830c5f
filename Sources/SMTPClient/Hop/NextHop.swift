package import MailModel

/// A host that a message is to be handed to, with everything that is needed to talk to it.
package struct NextHop: Sendable {
    /// The name: for the certificate, for records, and as a key of the pool.
    package var host: String
    package var port: Int
    /// The addresses that may be used, the best first; several are tried side by side (RFC 8305).
    package var addresses: [IPAddress]
    package var tls: TLSPolicy
    /// A PEM file of trust roots beside the system's.
    package var trustRootsFile: String?
    package var credentials: SMTPCredentials?
    package var allowsClearTextLogin = false
    /// What we call ourselves in EHLO.
    package var heloName: String
    /// Refuse a server that greets with `heloName`.
    package var refusesOwnName = false
    package var timeouts = StageTimeouts()
    package var limits = HopLimits()

    package init(host: String, port: Int, addresses: [IPAddress], tls: TLSPolicy, heloName: String) {
        self.host = host
        self.port = port
        self.addresses = addresses
        self.tls = tls
        self.heloName = heloName
    }

    var key: PoolKey {
        PoolKey(
            host: self.host.lowercased(),
            port: self.port,
            tls: self.tls,
            trustRootsFile: self.trustRootsFile,
            username: self.credentials?.username,
            heloName: self.heloName
        )
    }

    var endpoints: [SMTPEndpoint] {
        self.addresses.map { SMTPEndpoint(host: self.host, address: $0, port: self.port) }
    }
}

/// What a next hop may be burdened with.
package struct HopLimits: Hashable, Sendable {
    /// Connections at a time; more wait in turn.
    package var connections = 20
    /// Recipients of one transaction; a server's own LIMITS counts too.
    package var recipientsPerTransaction = 100
    /// Transactions of one connection.
    package var messagesPerConnection = 100
    /// How long a connection is kept for the next message; zero: not at all.
    package var idle: Duration = .seconds(30)

    package init() {}
}

/// Connections with equal keys can stand in for each other.
struct PoolKey: Hashable, Sendable {
    var host: String
    var port: Int
    var tls: TLSPolicy
    var trustRootsFile: String?
    var username: String?
    var heloName: String
}
