import DNSProtocol
import MailModel

/// An answer as it is believed and kept: what it means, and what came with it.
struct KnownAnswer: Sendable {
    var interpretation: Interpretation
    /// A source that the operator trusts said that it validated this.
    var isSecure = false
    /// Where the aliases of the answer end; nil where there were none.
    var canonicalName: DomainName?
}

extension KnownAnswer {
    init(_ answer: SourceAnswer, from source: DNSSource, _ configuration: ResolverConfiguration) {
        self.init(
            interpretation: answer.interpretation,
            isSecure: answer.isAuthenticated && configuration.trusts(source),
            canonicalName: answer.canonicalName
        )
    }
}

extension ResolverConfiguration {
    /// Whether the AD bit of a source counts: nobody can change it on its way, or the operator says so.
    func trusts(_ source: DNSSource) -> Bool {
        switch source {
        case .system: false
        case .server(let address, _):
            self.trustedAddresses.contains(address) || self.trustsLoopback && isTrustedLoopback(address)
        case .tls, .https: true
        }
    }

    /// Whether the operator names the server as one that validates.
    func isNamedTrusted(_ source: DNSSource) -> Bool {
        switch source {
        case .system: false
        case .server(let address, _), .tls(_, let address, _), .https(_, let address, _, _):
            self.trustedAddresses.contains(address)
        }
    }

    /// Whether a source may be asked beside others, and so learn of every name that is looked up.
    func mayConfirm(_ source: DNSSource) -> Bool {
        switch self.confirmers {
        case .none: false
        case .allBut(let others): !others.contains(source)
        }
    }
}

/// 127.0.0.0/8 and ::1 without 127.0.0.11.
private func isTrustedLoopback(_ address: IPAddress) -> Bool {
    switch address {
    case .v4(let number): number >> 24 == 127 && number != 0x7F00_000B
    case .v6(let high, let low): high == 0 && low == 1
    }
}
