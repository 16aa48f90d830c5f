import DNSProtocol
import Delivery
import MailModel
import SMTPClient
import SMTPProtocol

/// What each failure of direct delivery means; the only place that judges.
enum FailureTable {
    // MARK: - Before a connection

    static func unavailable(_ unavailability: Unavailability) -> Failure {
        Failure(
            .transient,
            .destination,
            .resolve,
            status: .init(4, 4, 3),
            text: unavailability.description,
            reason: .dnsUnavailable
        )
    }

    static func noSuchDomain(_ domain: String) -> Failure {
        Failure(
            .permanent,
            .destination,
            .resolve,
            status: .init(5, 1, 2),
            text: "the domain \(domain) does not exist",
            reason: .noSuchDomain
        )
    }

    static func nullMX(_ domain: String) -> Failure {
        Failure(
            .permanent,
            .destination,
            .resolve,
            status: .init(5, 1, 10),
            text: "\(domain) takes no mail (null MX)",
            reason: .nullMX
        )
    }

    static func noAddress(_ domain: String) -> Failure {
        Failure(
            .permanent,
            .destination,
            .resolve,
            status: .init(5, 4, 4),
            text: "no mail exchanger of \(domain) has an address",
            reason: .noAddress
        )
    }

    /// Time or patience ended before every exchanger was looked at, which says nothing about the domain.
    static func notAllSeen(_ domain: String) -> Failure {
        Failure(
            .transient,
            .destination,
            .resolve,
            status: .init(4, 4, 4),
            text: "no mail exchanger of \(domain) was reached before the time was over, and not all were looked at",
            reason: .timeout
        )
    }

    /// Another way may see another address: filters and split views of the DNS answer with such ones.
    static func prohibited(_ host: String, _ address: IPAddress) -> Failure {
        Failure(
            .permanent,
            .capability,
            .resolve,
            status: .init(5, 4, 4),
            text: "\(host) has the address \(address), to which mail must not go",
            reason: .prohibitedAddress
        )
    }

    /// An address that is not tried because of the silence it kept lately; nil for one that may be.
    ///
    /// A family over which nobody answers is no destination's fault: most likely outbound port 25 is closed.
    static func passedBy(_ host: String, _ address: IPAddress, _ advice: Reachability.Advice) -> Failure? {
        let row = { (scope: Failure.Scope, text: String, retryAfter: Duration?) in
            Failure(
                .transient,
                scope,
                .connect,
                status: .init(4, 4, 1),
                text: text,
                reason: .connectionFailed,
                retryAfter: retryAfter
            )
        }
        switch advice {
        case .usable:
            return nil
        case .silent(let ago):
            let seconds = ago.components.seconds
            return row(.destination, "\(host)[\(address)]: kept silent \(seconds) s ago, not tried again yet", nil)
        case .familyIsDead(let since, let retryAfter):
            let family = address.isIPv6 ? "IPv6" : "IPv4"
            let words =
                "no host has answered over \(family) for \(since.components.seconds) s; is outbound port 25 open?"
            return row(.provider, "\(host)[\(address)]: \(words)", retryAfter)
        }
    }

    /// Another way may know where the mail that arrives here belongs, or see another address.
    static func ourselves(_ host: String) -> Failure {
        Failure(
            .permanent,
            .capability,
            .resolve,
            status: .init(5, 4, 6),
            text: "mail loop: \(host) is this gateway",
            reason: .mailLoop
        )
    }

    static func unusableName(_ domain: String) -> Failure {
        Failure(
            .permanent,
            .destination,
            .resolve,
            status: .init(5, 1, 2),
            text: "\(domain) cannot be looked up",
            reason: .noSuchDomain
        )
    }

    // MARK: - In the dialogue

    /// Judges what one recipient met; `host` is how the record names the other side.
    static func failure(_ seen: ClientFailure, host: String) -> Failure {
        let stage = seen.stage.deliveryStage
        // A reply may be as long as the parser lets it; the record needs no more than a person reads.
        let text = String("\(host): \(seen)".prefix(1_000))
        let row = {
            (
                persistence: Failure.Persistence,
                scope: Failure.Scope,
                status: (UInt8, UInt16, UInt16),
                reason: Failure.Reason
            ) in
            let status = EnhancedStatusCode(status.0, status.1, status.2)
            return Failure(persistence, scope, stage, status: status, text: text, reason: reason)
        }
        if seen.mayHaveBeenAccepted {
            return row(.ambiguous, .destination, (4, 4, 2), .noAnswer)
        }
        switch seen.cause {
        case .reply(let reply): return self.refusal(reply, at: seen.stage, text: text)
        case .notConnected: return row(.transient, .destination, (4, 4, 1), .connectionFailed)
        case .lost: return row(.transient, .destination, (4, 4, 2), .connectionLost)
        case .timeout: return row(.transient, .destination, (4, 4, 2), .timeout)
        case .protocolError: return row(.transient, .destination, (4, 5, 0), .protocolError)
        case .tls, .certificate: return row(.transient, .destination, (4, 7, 5), .tlsFailed)
        case .notOffered("SMTPUTF8"): return row(.permanent, .capability, (5, 6, 7), .notSupported)
        case .notOffered("REQUIRETLS"): return row(.permanent, .capability, (5, 7, 30), .notSupported)
        case .notOffered: return row(.transient, .destination, (4, 7, 4), .tlsFailed)
        case .tooLarge: return row(.permanent, .capability, (5, 3, 4), .tooLarge)
        case .unwritable: return row(.permanent, .recipient, (5, 1, 3), .protocolError)
        // As of an address that is ours: another way may know where the mail belongs.
        case .ourselves: return row(.permanent, .capability, (5, 4, 6), .mailLoop)
        case .secretUnreadable: return row(.transient, .provider, (4, 3, 5), .misconfigured)
        case .local: return row(.transient, .local, (4, 3, 0), .localTrouble)
        }
    }

    private static func refusal(_ reply: Reply, at stage: ClientStage, text: String) -> Failure {
        let row = { (persistence: Failure.Persistence, scope: Failure.Scope, reason: Failure.Reason) in
            Failure(
                persistence,
                scope,
                stage.deliveryStage,
                status: status(of: reply, as: persistence),
                text: text,
                reason: reason
            )
        }
        // What they hold against our address says nothing of the recipient, and another provider does not share it.
        if Standing.isAgainstUs(reply, at: stage) {
            return row(.transient, .destination, .policyRefused)
        }
        switch stage {
        case .connect, .greeting, .ehlo, .auth:
            return row(.transient, .destination, .serviceUnavailable)
        case .tls:
            return row(.transient, .destination, .tlsFailed)
        case .mail where self.isTooLarge(reply), .rcpt where self.isTooLarge(reply), .data where self.isTooLarge(reply),
            .commit where self.isTooLarge(reply):
            return row(.permanent, .capability, .tooLarge)
        case .mail where reply.enhanced == .init(5, 6, 7), .rcpt where reply.enhanced == .init(5, 6, 7):
            return row(.permanent, .capability, .notSupported)
        // The sender's address, or a command that is not understood: nobody else need mind, and nobody is to wait for days.
        case .mail where Standing.isAgainstSender(reply), .rcpt where Standing.isAgainstSender(reply):
            return row(.permanent, .capability, .senderNotVerified)
        case .mail where self.isNotUnderstood(reply), .rcpt where self.isNotUnderstood(reply):
            return row(.permanent, .capability, .protocolError)
        case .mail:
            return row(.transient, .destination, reply.isPermanentFailure ? .policyRefused : .serviceUnavailable)
        // RFC 5321 §3.8: the host is about to close, which says nothing of the recipient.
        case .rcpt where reply.code == 421:
            return row(.transient, .destination, .serviceUnavailable)
        case .rcpt:
            return reply.isPermanentFailure && !reply.isTooManyRecipients
                ? row(.permanent, .recipient, .recipientRefused) : row(.transient, .recipient, .recipientDeferred)
        case .data, .commit:
            guard reply.isPermanentFailure else {
                return row(.transient, .message, .serviceUnavailable)
            }
            // 5.1.x and 5.2.x after the dot are said of the mailbox, as Exim and Gmail do (552 5.2.2).
            let isMailbox = reply.enhanced.map { $0.subject == 1 || $0.subject == 2 } ?? false
            return isMailbox
                ? row(.permanent, .recipient, .recipientRefused) : row(.permanent, .message, .contentRefused)
        }
    }

    /// The server's own enhanced code, else one that its basic code implies, in the class of the verdict.
    private static func status(of reply: Reply, as persistence: Failure.Persistence) -> EnhancedStatusCode {
        let implied = reply.isPermanentFailure ? EnhancedStatusCode(5, 0, 0) : EnhancedStatusCode(4, 0, 0)
        return (reply.enhanced ?? implied).withClass(persistence == .permanent ? 5 : 4)
    }

    private static func isTooLarge(_ reply: Reply) -> Bool {
        reply.code == 552 && (reply.enhanced == .init(5, 3, 4) || reply.enhanced == .init(5, 2, 3))
    }

    /// 500 to 504 and 555 without a word on the address: another server may take what this one does not understand.
    private static func isNotUnderstood(_ reply: Reply) -> Bool {
        [500, 501, 502, 503, 504, 555].contains(reply.code) && reply.enhanced?.subject != 1
    }
}
