import DNSProtocol
import Delivery
import MailModel
import SMTPClient
import SMTPProtocol

/// What each failure of a smarthost means; the only place that judges.
///
/// Here a refusal mostly speaks of our account, and an account never bounces a message: it closes this way out.
enum FailureTable {
    static func unavailable(_ unavailability: Unavailability) -> Failure {
        Failure(
            .transient,
            .provider,
            .resolve,
            status: .init(4, 4, 3),
            text: unavailability.description,
            reason: .dnsUnavailable
        )
    }

    /// The smarthost's own name does not exist or has no address: a mistake in the configuration, or of the DNS.
    static func noAddress(_ host: String) -> Failure {
        Failure(
            .transient,
            .provider,
            .resolve,
            status: .init(4, 4, 4),
            text: "\(host) has no address in the DNS (/etc/hosts is not read; pin its names in dns.hosts)",
            reason: .noAddress
        )
    }

    static func tooLarge(_ host: String, limit: Int) -> Failure {
        Failure(
            .permanent,
            .capability,
            .mail,
            status: .init(5, 3, 4),
            text: "\(host) takes at most \(limit) octets",
            reason: .tooLarge
        )
    }

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
            return row(.ambiguous, .provider, (4, 4, 2), .noAnswer)
        }
        switch seen.cause {
        case .reply(let reply): return self.refusal(reply, at: seen.stage, text: text)
        case .notConnected: return row(.transient, .provider, (4, 4, 1), .connectionFailed)
        case .lost: return row(.transient, .provider, (4, 4, 2), .connectionLost)
        case .timeout: return row(.transient, .provider, (4, 4, 2), .timeout)
        case .protocolError: return row(.transient, .provider, (4, 5, 0), .protocolError)
        case .tls, .certificate: return row(.transient, .provider, (4, 7, 5), .tlsFailed)
        case .notOffered("SMTPUTF8"): return row(.permanent, .capability, (5, 6, 7), .notSupported)
        case .notOffered("REQUIRETLS"): return row(.permanent, .capability, (5, 7, 30), .notSupported)
        // STARTTLS stripped on the way may come back; an AUTH that is not offered is set up wrongly.
        case .notOffered("STARTTLS"): return row(.transient, .provider, (4, 7, 4), .tlsFailed)
        case .notOffered: return row(.permanent, .provider, (5, 7, 4), .misconfigured)
        case .tooLarge: return row(.permanent, .capability, (5, 3, 4), .tooLarge)
        case .unwritable: return row(.permanent, .recipient, (5, 1, 3), .protocolError)
        case .ourselves: return row(.permanent, .provider, (5, 4, 6), .mailLoop)
        // Another way out has a secret of its own, and this one comes back with its file.
        case .secretUnreadable: return row(.transient, .provider, (4, 3, 5), .misconfigured)
        case .local: return row(.transient, .local, (4, 3, 0), .localTrouble)
        }
    }

    private static func refusal(_ reply: Reply, at stage: ClientStage, text: String) -> Failure {
        let verdict = self.verdict(on: reply, at: stage)
        let implied = reply.isPermanentFailure ? EnhancedStatusCode(5, 0, 0) : EnhancedStatusCode(4, 0, 0)
        return Failure(
            verdict.persistence,
            verdict.scope,
            stage.deliveryStage,
            status: (reply.enhanced ?? implied).withClass(verdict.persistence == .permanent ? 5 : 4),
            text: text,
            reason: verdict.reason,
            retryAfter: verdict.retryAfter,
            // A daily limit ends within its day; how long too many logins are too many nobody says.
            isWaitGuessed: verdict.reason == .rateLimited && verdict.retryAfter != nil
        )
    }

    private struct Verdict {
        var persistence: Failure.Persistence
        var scope: Failure.Scope
        var reason: Failure.Reason
        var retryAfter: Duration?

        init(
            _ persistence: Failure.Persistence,
            _ scope: Failure.Scope,
            _ reason: Failure.Reason,
            _ retryAfter: Duration? = nil
        ) {
            self.persistence = persistence
            self.scope = scope
            self.reason = reason
            self.retryAfter = retryAfter
        }
    }

    private static func verdict(on reply: Reply, at stage: ClientStage) -> Verdict {
        // The account first, at whatever stage it is said.
        if let verdict = self.account(reply, at: stage) {
            return verdict
        }
        let isPermanent = reply.isPermanentFailure
        switch stage {
        case .connect, .greeting, .ehlo:
            return Verdict(.transient, .provider, .serviceUnavailable)
        case .tls:
            return Verdict(.transient, .provider, .tlsFailed)
        case .auth:
            return isPermanent
                ? Verdict(.permanent, .provider, .authenticationFailed)
                : Verdict(.transient, .provider, .serviceUnavailable)
        case .mail, .rcpt, .data, .commit: break
        }
        if reply.code == 552, reply.enhanced == .init(5, 3, 4) || reply.enhanced == .init(5, 2, 3) {
            return Verdict(.permanent, .capability, .tooLarge)
        }
        if reply.enhanced == .init(5, 6, 7) {
            return Verdict(.permanent, .capability, .notSupported)
        }
        // 555 5.5.2 and its kin: our commands are not understood; another hop may be more tolerant.
        if [500, 501, 502, 503, 504, 555].contains(reply.code), reply.enhanced?.subject != 1 {
            return Verdict(.permanent, .capability, .protocolError)
        }
        switch stage {
        case .mail:
            return isPermanent
                ? Verdict(.permanent, .sender, .senderNotVerified) : Verdict(.transient, .provider, .serviceUnavailable)
        case .rcpt:
            return isPermanent && !reply.isTooManyRecipients
                ? Verdict(.permanent, .recipient, .recipientRefused)
                : Verdict(.transient, .recipient, .recipientDeferred)
        case .data, .commit, .connect, .tls, .greeting, .ehlo, .auth:
            guard isPermanent else {
                return Verdict(.transient, .message, .serviceUnavailable)
            }
            let isMailbox = reply.enhanced.map { $0.subject == 1 || $0.subject == 2 } ?? false
            return isMailbox
                ? Verdict(.permanent, .recipient, .recipientRefused) : Verdict(.permanent, .message, .contentRefused)
        }
    }

    /// What a reply says of our account or of the service as a whole; nil when it says nothing of them.
    private static func account(_ reply: Reply, at stage: ClientStage) -> Verdict? {
        let text = reply.text.lowercased()
        if reply.code == 421 {
            return self.isRate(text)
                ? Verdict(.transient, .provider, .rateLimited) : Verdict(.transient, .provider, .serviceUnavailable)
        }
        // Gmail: 550 5.4.5 Daily user sending limit (quota) exceeded, 550 5.7.1 Daily SMTP relay limit exceeded.
        if reply.enhanced.map({ $0.subject == 4 && $0.detail == 5 }) ?? false || self.isQuota(text) {
            return Verdict(.transient, .provider, .quotaExceeded, reply.isPermanentFailure ? .seconds(86_400) : nil)
        }
        if reply.code == 454, text.contains("too many login") {
            return Verdict(.transient, .provider, .rateLimited, .seconds(600))
        }
        // Where a limit or an account is that of a mailbox, one recipient must not close the way for all.
        guard !self.speaksOfMailbox(reply, text, at: stage) else {
            return nil
        }
        if reply.isTransientFailure, self.isRate(text) {
            return Verdict(.transient, .provider, .rateLimited)
        }
        switch reply.code {
        case 535, 534, 538: return Verdict(.permanent, .provider, .authenticationFailed)
        // Sent without TLS or AUTH where one is wanted.
        case 530: return Verdict(.permanent, .provider, .misconfigured)
        case 432: return Verdict(.transient, .provider, .serviceUnavailable)
        case 454 where stage == .auth: return Verdict(.transient, .provider, .serviceUnavailable)
        default: break
        }
        guard reply.isPermanentFailure else {
            return nil
        }
        if self.isSuspension(reply, text, at: stage) {
            return Verdict(.permanent, .provider, .accountSuspended)
        }
        if Self.relayWords.contains(where: { text.contains($0) }) {
            return Verdict(.permanent, .provider, .misconfigured)
        }
        if stage != .rcpt, stage != .commit,
            ["not verified", "not authorized to send", "sender address rejected"]
                .contains(where: { text.contains($0) })
        {
            return Verdict(.permanent, .sender, .senderNotVerified)
        }
        return nil
    }

    /// Whether a refusal of a recipient, or of a message for one, is about the mailbox (RFC 3463 X.1.z, X.2.z).
    ///
    /// A relay that hosts mailboxes, or asks those who do, says of them what others say of our account.
    private static func speaksOfMailbox(_ reply: Reply, _ text: String, at stage: ClientStage) -> Bool {
        switch stage {
        case .connect, .tls, .greeting, .ehlo, .auth, .mail: return false
        case .rcpt, .data, .commit: break
        }
        // Gmail: 450 4.2.1 Peak SMTP relay limit exceeded.
        if text.contains("relay limit") || text.contains("sending limit") {
            return false
        }
        switch reply.enhanced?.subject {
        // X.1.0, X.1.7 and X.1.8 are said of the sender, too.
        case 1: return ![0, 7, 8].contains(reply.enhanced?.detail)
        case 2: return true
        case nil: return stage == .rcpt && text.contains("mailbox")
        default: return false
        }
    }

    /// Whether our account is closed; at RCPT most who say so mean the recipient's.
    private static func isSuspension(_ reply: Reply, _ text: String, at stage: ClientStage) -> Bool {
        guard
            ["account suspended", "account is suspended", "account disabled", "account is disabled"]
                .contains(where: { text.contains($0) })
        else {
            return false
        }
        return stage != .rcpt
            || reply.enhanced?.subject == 7 && !text.contains("@") && !text.contains("recipient")
    }

    private static let relayWords = [
        "invalid credentials for relay", "relay denied", "relaying denied", "relay access denied",
        "relay not permitted",
        "unable to relay", "authentication required",
    ]

    private static func isQuota(_ text: String) -> Bool {
        let says = text.contains("sending limit") || text.contains("sending quota") || text.contains("relay limit")
        return says && text.contains("daily") && text.contains("exceeded")
    }

    private static func isRate(_ text: String) -> Bool {
        text.contains("limit exceeded") || text.contains("rate limit") || text.contains("too many messages")
            || text.contains("unusual rate") || text.contains("too many login")
    }
}
