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

    static func prohibited(_ host: String, _ address: IPAddress) -> Failure {
        Failure(
            .permanent,
            .destination,
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

    static func ourselves(_ host: String) -> Failure {
        Failure(
            .permanent,
            .destination,
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
        let text = "\(host): \(seen)"
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
        case .tls: return row(.transient, .destination, (4, 7, 5), .tlsFailed)
        case .notOffered("SMTPUTF8"): return row(.permanent, .capability, (5, 6, 7), .notSupported)
        case .notOffered("REQUIRETLS"): return row(.permanent, .capability, (5, 7, 30), .notSupported)
        case .notOffered: return row(.transient, .destination, (4, 7, 4), .tlsFailed)
        case .tooLarge: return row(.permanent, .capability, (5, 3, 4), .tooLarge)
        case .unwritable: return row(.permanent, .recipient, (5, 1, 3), .protocolError)
        case .ourselves: return row(.permanent, .destination, (5, 4, 6), .mailLoop)
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
        if self.isAboutUs(reply, at: stage) {
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
        case .mail:
            guard reply.isPermanentFailure else {
                return row(.transient, .destination, .serviceUnavailable)
            }
            // X.1.7 and X.1.8: the sender's address, which no other way makes better; the rest may be about this hop.
            return self.isAboutSender(reply)
                ? row(.permanent, .message, .senderNotVerified) : row(.transient, .destination, .policyRefused)
        case .rcpt:
            return reply.isPermanentFailure
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

    private static func isAboutSender(_ reply: Reply) -> Bool {
        reply.enhanced.map { $0.subject == 1 && ($0.detail == 7 || $0.detail == 8) } ?? false
    }

    /// Whether a 5yz (or a 4.7.z) speaks of our address, name or authentication rather than of the mail.
    ///
    /// Gmail: 5.7.25 (PTR), 5.7.26 to 5.7.30 (SPF, DKIM, DMARC, TLS), 5.7.1 policy, 421 4.7.0 and 4.7.28 (rate).
    private static func isAboutUs(_ reply: Reply, at stage: ClientStage) -> Bool {
        if stage == .greeting || stage == .ehlo {
            return reply.isPermanentFailure
        }
        guard let status = reply.enhanced, status.subject == 7 else {
            return self.namesOurAddress(reply)
        }
        if reply.isTransientFailure {
            // Greylisting is often 4.7.1: a matter of patience with this recipient.
            return [23, 24, 25, 26, 27, 28, 29, 30, 32].contains(status.detail) || self.namesOurAddress(reply)
        }
        switch status.detail {
        case 23...33, 606, 708...750: return true
        case 1, 0: return stage == .mail || self.namesOurAddress(reply) || self.isGooglePolicy(reply)
        default: return false
        }
    }

    private static func isGooglePolicy(_ reply: Reply) -> Bool {
        let text = reply.text.lowercased()
        return text.hasSuffix("gsmtp") && !text.contains("content") && !text.contains("virus")
    }

    /// The words of block lists.
    ///
    /// Texts decide nothing else, and only because many servers say 550 without a code.
    private static func namesOurAddress(_ reply: Reply) -> Bool {
        guard !reply.isPositive else {
            return false
        }
        let text = reply.text.lowercased()
        return Self.blockWords.contains { text.contains($0) }
    }

    private static let blockWords = [
        "blacklist", "blocklist", "block list", "black list", "spamhaus", "dnsbl", "rbl", "sorbs", "barracudacentral",
        "reputation", "reverse dns", "ptr record", "client host", "your ip", "sending ip", "ip address",
        "not in whitelist", "blocked using",
    ]
}
