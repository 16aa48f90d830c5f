package import MailModel

/// Whoever answers questions about names: the resolver chain, or a script in tests.
///
/// All names are absolute, with or without the final dot; search lists never apply.
package protocol Resolver: Sendable {
    /// The mail exchangers of a domain, as they stand in its MX records; a lone `.` is the null MX (RFC 7505).
    func mailExchangers(of domain: String) async -> Resolution<MailExchanger>

    /// The addresses of a host, IPv6 and IPv4 together, asked side by side.
    ///
    /// `noSuchName` and `noData` are said only when both families have no address.
    func addresses(of host: String) async -> Resolution<IPAddress>

    /// TXT records, the strings of each joined (RFC 7208 §3.3); a negative answer is believed from one source.
    func text(of name: String) async -> Resolution<String>

    /// TLSA records, such as those of `_25._tcp.mx.example.com` (RFC 7672 §3); to be used only where `isSecure`.
    func tlsAssociations(of name: String) async -> Resolution<TLSAssociation>
}

/// What the DNS said about one name and one record type.
package enum Lookup<Record: Sendable & Hashable>: Sendable, Hashable {
    case records([Record], timeToLive: Duration)
    /// The name exists without such a record: for MX, the domain itself is the implicit exchanger (RFC 5321 §5.1).
    ///
    /// Of MX it is said under the rule for NXDOMAIN: on one server's word only where there is no other one to ask.
    case noData(timeToLive: Duration)
    /// NXDOMAIN: the name does not exist.
    case noSuchName(timeToLive: Duration)
    /// Nobody could answer, which says nothing about the name and so never bounces a message.
    case unavailable(Unavailability)
}

/// Why no source of the resolver chain could answer.
package struct Unavailability: Hashable, Sendable, CustomStringConvertible {
    /// One sentence for people: `no DNS source could answer (127.0.0.11 REFUSED, 8.8.8.8 no answer in 1500 ms)`.
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// A lookup with the story of how it came about.
package struct Resolution<Record: Sendable & Hashable>: Sendable {
    package var lookup: Lookup<Record>
    /// What each source that was asked said, in the order of asking; a cached answer says so.
    package var observations: [SourceObservation]
    /// Set when the answer is a last good one from the store (RFC 8767): how old it is.
    package var staleAge: Duration?
    /// A source that the operator trusts said that it validated the answer, positive or negative (RFC 4035 §3.2.3).
    package var isSecure: Bool
    /// Where the CNAME records of the answer end, in lower case without final dot; nil where there were none.
    package var canonicalName: String?

    package init(
        lookup: Lookup<Record>,
        observations: [SourceObservation],
        staleAge: Duration? = nil,
        isSecure: Bool = false,
        canonicalName: String? = nil
    ) {
        self.lookup = lookup
        self.observations = observations
        self.staleAge = staleAge
        self.isSecure = isSecure
        self.canonicalName = canonicalName
    }
}

/// What one source said to one question, and how fast.
package struct SourceObservation: Hashable, Sendable, CustomStringConvertible {
    /// `127.0.0.11`, `8.8.8.8`, `https://1.1.1.1/dns-query`, `store`, `cache`.
    package var source: String
    /// The question: `MX gmail.com`.
    package var question: String
    /// `3 records`, `NXDOMAIN`, `no data`, `SERVFAIL`, `REFUSED`, `no answer`, `port closed`, `garbage`, ...
    package var result: String
    package var elapsed: Duration

    package init(source: String, question: String, result: String, elapsed: Duration) {
        self.source = source
        self.question = question
        self.result = result
        self.elapsed = elapsed
    }

    /// `MX gmail.com: 127.0.0.11 REFUSED 1 ms`.
    package var description: String {
        "\(self.question): \(self.source) \(self.result) \(self.elapsed.wholeMilliseconds) ms"
    }
}

/// One MX record (RFC 1035 §3.3.9).
package struct MailExchanger: Hashable, Sendable {
    /// 0 to 65535; the lowest is tried first.
    package var preference: UInt16
    /// The host's name without final dot; empty for the root, which is the null MX.
    package var host: String

    package init(preference: UInt16, host: String) {
        self.preference = preference
        self.host = host
    }
}
