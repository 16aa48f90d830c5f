import DNSProtocol
package import Delivery
package import MailModel
import SMTPClient
import SMTPProtocol

/// The TLS policies of recipients' domains as a provider applies them, and the memory that goes with them.
package struct TransportSecurity: Sendable {
    /// Whether TLSA records count (RFC 7672).
    let usesDANE: Bool
    /// Nil where MTA-STS is switched off (RFC 8461).
    let policies: MTASTSPolicies?
    let clearText: ClearTextMemory
    private let archive: (any SecurityArchive)?
    private let now: @Sendable () -> Timestamp

    package init(
        usesDANE: Bool,
        policies: MTASTSPolicies?,
        clearText: ClearTextMemory,
        archive: (any SecurityArchive)?,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.usesDANE = usesDANE
        self.policies = policies
        self.clearText = clearText
        self.archive = archive
        self.now = now
    }

    /// Opportunistic TLS alone, without a store.
    package static var none: TransportSecurity {
        let now = { @Sendable in Timestamp(microseconds: 0) }
        return TransportSecurity(
            usesDANE: false,
            policies: nil,
            clearText: ClearTextMemory(archive: nil, now: now),
            archive: nil,
            now: now
        )
    }

    func count(_ result: TLSResult) {
        self.archive?.count(result, at: self.now())
    }
}

/// What holds for all hosts of one domain in one attempt.
struct DomainSecurity: Sendable {
    /// As an A-label name.
    var domain: String
    var wish: HostFacts.Wish
    /// A trusted source validated what the MX question brought, be it that there is no such record.
    var exchangersAreSecure = false
    /// What the MX question brought is a last good answer.
    var exchangersAreStale = false
    /// Names beside the host's own that a certificate under a trust anchor may bear (RFC 7672 §3.2.2).
    var names: [String] = []
    var sts: MTASTSPolicies.Verdict?
}

extension HostFacts.Wish {
    init(_ parameters: MailParameters) {
        self = parameters.requireTLS ? .protected : parameters.tlsOptional ? .anyhow : .usual
    }
}

extension TLSResult {
    /// What a failure at the stage TLS was about.
    static func kind(of failure: ClientFailure) -> Kind {
        switch failure.cause {
        case .certificate(.hostMismatch, _): .certificateHostMismatch
        case .certificate(.expired, _): .certificateExpired
        case .certificate(.notTrusted, _): .certificateNotTrusted
        case .certificate(.noAssociation, _): .validationFailure
        case .notOffered("STARTTLS"), .reply: .startTLSNotSupported
        case .tls, .notOffered, .notConnected, .lost, .timeout, .protocolError, .tooLarge, .unwritable, .ourselves,
            .secretUnreadable, .local:
            .validationFailure
        }
    }
}
