package import DNSProtocol
package import Delivery
package import MailModel

/// All that an operator has decided, checked and complete.
package struct GatewayConfiguration: Sendable {
    /// The file that it was read from, or `environment`.
    package var source = "environment"
    /// Our name in greetings, Received fields and EHLO.
    package var hostname: String
    /// The domain that is added to addresses without one.
    package var domain: String
    package var dataDirectory: String
    package var controlSocket: String
    package var listeners: [ListenerSettings]
    /// Names and password hashes of those who may log in.
    package var users: [String: String]
    package var chain: [String]
    /// Those of the chain, in its order.
    package var providers: [ProviderSettings]
    package var dns: DNSSettings
    package var doctor: DoctorSettings
    package var retry: RetrySettings
    package var limits: LimitSettings
    package var log: LogSettings
    /// How long running attempts may take after SIGTERM.
    package var shutdownGrace: Duration
    /// How long the history of finished messages is kept.
    package var retention: Duration
    /// How many octets the store may take before finished messages are forgotten, the oldest first; nil: any number.
    package var retentionSize: Int?
    /// Whether content is kept with the history.
    package var keepsContent: Bool
    /// Things that are not errors but that the operator should hear of.
    package var warnings: [ConfigurationProblem]
}

/// One place where mail is accepted.
package struct ListenerSettings: Hashable, Sendable {
    package enum TLSMode: String, Hashable, Sendable, CaseIterable {
        case none, starttls, implicit
    }

    package enum AuthPolicy: String, Hashable, Sendable, CaseIterable {
        case none, optional, required
    }

    package var name: String
    /// One or more addresses such as `127.0.0.1`, `0.0.0.0`, `::`.
    package var addresses: [String]
    package var port: Int
    package var tls: TLSMode
    package var auth: AuthPolicy
    package var authWithoutTLS: Bool
    package var allowedNetworks: [CIDRBlock]
    package var certificateFile: String?
    package var keyFile: String?
}

/// One way out.
package struct ProviderSettings: Sendable {
    package enum Kind: Sendable {
        case directMX(DirectSettings)
        case smarthost(SmarthostSettings)
        case sendgrid(APISettings)
        case mailgun(APISettings)
    }

    package var name: String
    package var kind: Kind
}

package struct DirectSettings: Sendable {
    package var port: Int
    /// Exchanger addresses in these networks are used although they are private, reserved or our own.
    package var allowedNetworks: [CIDRBlock]
    package var usesTLS: Bool
    /// Whether TLSA records and MTA-STS policies of recipients' domains count.
    package var usesDANE: Bool
    package var usesMTASTS: Bool
    /// Trust roots beside the system's, for MTA-STS and REQUIRETLS.
    package var caFile: String?
    package var connectTimeout: Duration
}

package struct SmarthostSettings: Sendable {
    package enum TLSMode: String, Hashable, Sendable, CaseIterable {
        case none, starttls, implicit
    }

    package enum Login: Sendable {
        case none
        case password(username: String, Secret)
        /// XOAUTH2 with a token that is read from this file at each connection.
        case token(username: String, file: String)
    }

    package var isGmail: Bool
    package var host: String
    package var port: Int
    package var tls: TLSMode
    package var verifiesCertificate: Bool
    package var tlsName: String?
    package var caFile: String?
    package var login: Login
    package var allowsClearTextLogin: Bool
    package var connections: Int
    package var connectTimeout: Duration
}

package struct APISettings: Sendable {
    package var key: Secret
    /// `us` or `eu` (SendGrid: `global` or `eu`).
    package var isEuropean: Bool
    package var baseURL: String?
    /// The sending domain at Mailgun; the From domain where not set.
    package var domain: String?
    /// Validates without sending.
    package var isTest: Bool
    package var timeout: Duration
}

package struct DNSSettings: Sendable {
    package var sources: [DNSSource]
    /// Whether well-known public resolvers may be asked; those of the system's own file always may.
    package var usesPublicResolvers: Bool
    package var resolvConf: String
    package var sourceTimeout: Duration
    package var lookupTimeout: Duration
    package var headStart: Duration
    package var serveStale: Duration
    package var believesLoneNegative: Bool
    /// Whether a single source's "there is none" bounces no mail either.
    package var isCautious: Bool
    /// Servers whose word that they validated an answer counts.
    package var trustedAddresses: Set<IPAddress>
    /// The same for servers on loopback.
    package var trustsLoopback: Bool
    /// Which validators are asked beside sources that do not validate.
    package var askedValidators: AskedValidators
    /// Whether the operator wrote the sources; else they are the usual ones.
    package var namesSources: Bool
    package var hosts: [String: [IPAddress]]

    /// Whose validation may cost that they learn of every domain that gets mail.
    package enum AskedValidators: String, Hashable, Sendable, CaseIterable {
        /// Every source, the public resolvers that are there by default, too.
        case all
        /// The system's servers, and whom the operator names.
        case configured
        case never
    }
}

/// What `hikyaku doctor` asks beside what is in use.
package struct DoctorSettings: Sendable {
    /// Looked up and called when no mail has gone anywhere yet.
    package var testDomain: String
    /// Hosts that show which outbound ports are open; those of configured providers are called anyway.
    package var portTargets: [PortTarget]
    /// Our addresses as others see them; where empty, what exchangers say, else what the interfaces have.
    package var publicAddresses: [IPAddress]
    /// Selectors under which the operator's domains publish DKIM keys, beside those of known services.
    package var dkimSelectors: [String]
    /// Whether the C library's resolver is asked the same questions.
    package var comparesLibrary: Bool
    /// Whether the checks run by themselves when lookups begin to fail.
    package var watches: Bool
}

/// A host and a TCP port, such as `smtp.gmail.com:587`.
package struct PortTarget: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`, `192.0.2.1:25` or `[2001:db8::1]:25`.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65_535).contains(port)
        else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        }
        guard !host.isEmpty, IPAddress(String(host)) != nil || DomainName(String(host)) != nil else {
            return nil
        }
        self.init(host: String(host), port: port)
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}

package struct RetrySettings: Sendable {
    package var firstDelay: Duration
    package var maximumDelay: Duration
    package var outageDelay: Duration
    package var ambiguousDelay: Duration
    package var fallbackAfter: Duration
    package var expireAfter: Duration
    package var attemptTimeout: Duration
    package var breakerFirstDelay: Duration
    package var breakerMaximumDelay: Duration
    package var onAmbiguous: StrategyChain.OnAmbiguous
}

package struct LimitSettings: Sendable {
    package var messageSize: Int
    package var recipients: Int
    package var connections: Int
    package var connectionsPerAddress: Int
    /// Octets that clients may make us hold in memory, all together.
    package var memory: Int
    /// Failed authentications after which an address is left out.
    package var authFailures: Int
    /// How long it is left out.
    package var authBlock: Duration
    /// The longest time until EHLO, and until AUTH where that is required.
    package var helloTimeout: Duration
    /// The longest silence of a client.
    package var idleTimeout: Duration
    /// How long content may take before it must have come at 500 octets a second.
    package var contentGrace: Duration
    /// Attempts that run at a time.
    package var concurrency: Int
    /// Attempts that run at a time for one destination.
    package var perDestination: Int
    /// Where that number begins for a destination of which nothing is known.
    package var perDestinationStart: Int
    /// Networks in which HTTP APIs may stand although they are private or reserved.
    package var apiNetworks: [CIDRBlock]
}

package struct LogSettings: Sendable {
    package enum Format: String, Hashable, Sendable, CaseIterable {
        case plain, json
    }

    package enum Level: String, Hashable, Sendable, CaseIterable {
        case debug, info, notice, warning, error
    }

    package var format: Format
    package var level: Level
}
