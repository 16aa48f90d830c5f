package import DNSProtocol
package import MailModel

/// The sources that may be asked beside one that does not validate; they learn of every name that is looked up.
package enum Confirmers: Hashable, Sendable {
    case none
    /// Every source but these.
    case allBut(Set<DNSSource>)
}

/// How names are resolved.
package struct ResolverConfiguration: Sendable {
    /// Who is asked, in the operator's order.
    package var sources: [DNSSource]
    /// Where the system's servers stand; read again when it changes.
    package var resolvConfPath: String
    /// The longest wait for one source.
    package var sourceTimeout: Duration
    /// The longest that one lookup may take in all.
    package var lookupTimeout: Duration
    /// How long a source is waited for before the next one is asked beside it.
    package var headStart: Duration
    /// How long an answer that nobody validated waits for a validator that was asked beside its source.
    package var validatorPatience: Duration
    /// How old a last good answer may be that stands in when nobody answers (RFC 8767); zero switches it off.
    package var serveStale: Duration
    /// Whether one source's "there is no such thing" is enough even though there are others.
    package var believesLoneNegative: Bool
    /// Whether a negative answer needs a second witness even where there is one source only, so that nothing ever bounces then.
    package var isCautious: Bool
    /// Servers whose AD bit counts (RFC 4035 §3.2.3), such as a validator on loopback; that of encrypted sources always does.
    package var trustedAddresses: Set<IPAddress>
    /// Whether the AD bit of servers on loopback counts, but for Docker's, which only passes on what came from afar.
    package var trustsLoopback: Bool
    /// Names with fixed addresses, in lower case; they are never looked up.
    package var hosts: [String: [IPAddress]]
    /// Which of the sources that validate are asked beside those that do not.
    package var confirmers: Confirmers
    /// The most answers that are kept in memory.
    package var cacheLimit: Int
    /// A PEM file of certificates that are trusted beside the system's, for DNS over TLS.
    package var trustRootsFile: String?

    package init(
        sources: [DNSSource] = Self.defaultSources,
        resolvConfPath: String = "/etc/resolv.conf",
        sourceTimeout: Duration = .milliseconds(1_500),
        lookupTimeout: Duration = .seconds(5),
        headStart: Duration = .milliseconds(300),
        validatorPatience: Duration = .milliseconds(1_500),
        serveStale: Duration = .seconds(7 * 86_400),
        believesLoneNegative: Bool = false,
        isCautious: Bool = false,
        trustedAddresses: Set<IPAddress> = [],
        trustsLoopback: Bool = true,
        hosts: [String: [IPAddress]] = [:],
        confirmers: Confirmers = .allBut([]),
        cacheLimit: Int = 10_000,
        trustRootsFile: String? = nil
    ) {
        self.sources = sources
        self.resolvConfPath = resolvConfPath
        self.sourceTimeout = sourceTimeout
        self.lookupTimeout = lookupTimeout
        self.headStart = headStart
        self.validatorPatience = validatorPatience
        self.serveStale = serveStale
        self.believesLoneNegative = believesLoneNegative
        self.isCautious = isCautious
        self.trustedAddresses = trustedAddresses
        self.trustsLoopback = trustsLoopback
        self.hosts = hosts
        self.confirmers = confirmers
        self.cacheLimit = cacheLimit
        self.trustRootsFile = trustRootsFile
    }

    /// The system's servers, then two public resolvers over plain DNS and the same over HTTPS.
    package static let defaultSources: [DNSSource] = [.system] + PublicResolvers.sources
}

/// A DNS question on its way through HTTPS (RFC 8484 §4.1); who can send such a request is the builder's business.
package struct DNSOverHTTPSRequest: Sendable {
    /// `https://dns.google/dns-query`.
    package var url: String
    /// Where to connect; the certificate is checked against the name in the URL.
    package var address: IPAddress
    /// The DNS message, with the type `application/dns-message`.
    package var body: [UInt8]
    package var timeout: Duration
}

/// Sends a DNS question over HTTPS and returns the octets of the answer; throws what `description` tells people.
package typealias DNSOverHTTPSTransport = @Sendable (DNSOverHTTPSRequest) async throws -> [UInt8]
