import DNSProtocol
import Delivery
import MailModel
import SMTPClient

/// How one host is to be connected to, as the policies of the recipients' domain and the message want it.
struct HostPlan: Hashable, Sendable {
    var tls: TLSPolicy
    /// What is tried when `tls` fails over TLS: a policy that is only tested must not hold up mail.
    var fallback: TLSPolicy?
    /// Clear text only because TLS failed there lately.
    var isFromMemory = false
    var policy = TLSResult.Policy.none
    var policyText = ""
    /// For records: `dane`, `mta-sts enforce`.
    var label: String?
}

/// Whether a host may be used, and how.
enum HostVerdict: Hashable, Sendable {
    case use(HostPlan)
    /// Not at all; the kind is what TLS reports say of it.
    case refuse(Failure, TLSResult.Kind, TLSResult.Policy)
}

/// What is known when a host is about to be connected to, put together by the rules of the RFCs and nothing else.
struct HostFacts: Sendable {
    /// What the message itself wants.
    enum Wish: Hashable, Sendable {
        case usual
        /// `REQUIRETLS` (RFC 8689 §4.2.1).
        case protected
        /// `TLS-Required: No` (RFC 8689 §3).
        case anyhow
    }

    var host: String
    var domain: String
    var wish: Wish
    /// Whether the operator lets TLS be used at all.
    var usesTLS: Bool
    var exchangersAreSecure: Bool
    var dane: DANEFinding
    var sts: MTASTSPolicy?

    var verdict: HostVerdict {
        guard self.usesTLS else {
            return self.wish == .protected ? self.unprotected("TLS is switched off") : .use(HostPlan(tls: .none))
        }
        guard self.wish != .anyhow else {
            return .use(HostPlan(tls: .opportunistic))
        }
        switch self.dane {
        case .failed(let why):
            return .refuse(self.unknown(why), .dnssecInvalid, .tlsa)
        case .associations(let associations):
            let text = associations.records.prefix(20).map(\.description).joined(separator: "\n")
            let tls = TLSPolicy.required(.startTLS, .dane(associations))
            return .use(HostPlan(tls: tls, policy: .tlsa, policyText: text, label: "dane"))
        case .unusable:
            // DANE goes before MTA-STS (RFC 8461 §2), but proves nothing here; what asks for proof asks elsewhere.
            if let sts = self.sts, sts.mode == .enforce {
                return self.verdict(of: sts)
            }
            let tls = TLSPolicy.required(.startTLS, self.wish == .protected ? .verified : .unverified)
            return .use(HostPlan(tls: tls, policy: .tlsa, label: "dane without usable records"))
        case .absent:
            return self.sts.map(self.verdict) ?? self.plain
        }
    }

    private func verdict(of sts: MTASTSPolicy) -> HostVerdict {
        let label = "mta-sts \(sts.mode.rawValue)"
        let verified = TLSPolicy.required(.startTLS, .verified)
        var plan = HostPlan(tls: verified, policy: .sts, policyText: sts.summary, label: label)
        switch (sts.mode, sts.names(self.host)) {
        case (.none, _):
            return self.plain
        case (.enforce, false):
            return .refuse(self.unnamed, .validationFailure, .sts)
        case (.testing, false):
            // Sent all the same; the policy stands in the plan for the report that tells of it.
            plan.tls = .opportunistic
            return self.wish == .protected ? self.plain : .use(plan)
        case (.enforce, true):
            return .use(plan)
        case (.testing, true):
            plan.fallback = self.wish == .protected ? nil : .opportunistic
            return .use(plan)
        }
    }

    /// No policy of the domain applies.
    private var plain: HostVerdict {
        guard self.wish == .protected else {
            return .use(HostPlan(tls: .opportunistic))
        }
        // RFC 8689 §4.2.1: DNSSEC or MTA-STS must vouch for the host's name, which its certificate must then bear.
        guard self.exchangersAreSecure else {
            return self.unprotected("neither DNSSEC nor MTA-STS vouches for its name")
        }
        return .use(HostPlan(tls: .required(.startTLS, .verified), label: "requiretls"))
    }

    private func unprotected(_ why: String) -> HostVerdict {
        let failure = Failure(
            .permanent,
            .capability,
            .tls,
            status: .init(5, 7, 10),
            text: "\(self.host): REQUIRETLS was asked for, and \(why)",
            reason: .notSupported
        )
        return .refuse(failure, .validationFailure, .none)
    }

    private var unnamed: Failure {
        Failure(
            .transient,
            .destination,
            .tls,
            status: .init(4, 7, 5),
            text: "\(self.host): not among the hosts of the MTA-STS policy of \(self.domain) (enforce)",
            reason: .tlsFailed
        )
    }

    private func unknown(_ why: String) -> Failure {
        Failure(
            .transient,
            .destination,
            .resolve,
            status: .init(4, 4, 3),
            text: "\(self.host): whether it has TLSA records cannot be told, so that mail waits (DANE): \(why)",
            reason: .dnsUnavailable
        )
    }
}
