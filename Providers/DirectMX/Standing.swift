import MailModel
import SMTPProtocol

/// Whether a refusal holds something against us (our address, our name, our authentication) and not against the mail.
///
/// Such a refusal bounces nothing, since another provider does not share what it complains of. Texts are looked at only
/// because many servers say 550 or 5.7.1 of everything; they decide for going on, never for a bounce.
enum Standing {
    /// Judges a 4yz or 5yz.
    static func isAgainstUs(_ reply: Reply, at stage: ClientStage) -> Bool {
        guard reply.isTransientFailure || reply.isPermanentFailure else {
            return false
        }
        switch stage {
        case .greeting, .ehlo:
            // Nothing else has been said yet.
            return reply.isPermanentFailure
        case .connect, .tls, .auth, .mail, .rcpt, .data, .commit:
            break
        }
        guard let status = reply.enhanced else {
            return self.says(reply, at: stage)
        }
        switch status.subject {
        // Addresses and mailboxes: the server knows what it speaks of, whatever words it uses.
        case 1, 2: return false
        case 7: return self.isSecurityAgainstUs(reply, detail: status.detail, at: stage)
        default: return self.says(reply, at: stage)
        }
    }

    /// Whether the sender's address or domain is refused (RFC 3463 X.1.7, X.1.8, RFC 7505 X.7.27), at MAIL or, as Postfix
    /// does by default, at RCPT.
    static func isAgainstSender(_ reply: Reply) -> Bool {
        guard reply.isPermanentFailure else {
            return false
        }
        if let status = reply.enhanced, status.subject == 1 {
            return status.detail == 7 || status.detail == 8
        }
        return reply.text.lowercased().contains("sender address rejected")
    }

    /// Judges X.7.z, of which each large host has numbers of its own.
    ///
    /// Gmail: 5.7.25 (PTR), 5.7.26 to 5.7.32 (SPF, DKIM, DMARC, TLS), 421 4.7.28 (rate). Exchange Online: 5.7.606 to 649
    /// (banned address), 5.7.5xx and 5.7.7xx (reputation, DMARC). Yahoo: 5.7.9 (DMARC).
    private static func isSecurityAgainstUs(_ reply: Reply, detail: UInt16, at stage: ClientStage) -> Bool {
        switch detail {
        case 23...33: return true
        // A malformed header section, and forwarding that the recipient's organisation forbids.
        case 512, 520: return false
        case 500...799: return true
        case 9: return reply.isPermanentFailure || self.says(reply, at: stage)
        case 0, 1:
            let isGeneral = reply.isPermanentFailure && (stage == .mail || self.isGooglePolicy(reply))
            return isGeneral || self.says(reply, at: stage)
        default: return false
        }
    }

    private static func isGooglePolicy(_ reply: Reply) -> Bool {
        let text = reply.text.lowercased()
        return text.hasSuffix("gsmtp") && !text.contains("content") && !text.contains("virus")
    }

    // MARK: - Words

    private static func says(_ reply: Reply, at stage: ClientStage) -> Bool {
        let text = self.withoutMailboxes(reply.text.lowercased())
        let isContent = stage == .data || stage == .commit
        if isContent, self.contentWords.contains(where: text.contains) {
            return false
        }
        if reply.isTransientFailure,
            text.contains("greylist") || text.contains("graylist") || text.contains("grey-list")
        {
            // A matter of patience with this recipient.
            return false
        }
        let words = text.split { !$0.isLetter && !$0.isNumber }
        if words.contains(where: { self.names.contains(String($0)) }) || self.phrases.contains(where: text.contains) {
            return true
        }
        return reply.isPermanentFailure && !isContent && self.quotesAnAddress(text)
    }

    /// The text without words that hold an `@`: a recipient may be called anything.
    private static func withoutMailboxes(_ text: String) -> String {
        text.split(separator: " ").filter { !$0.contains("@") }.joined(separator: " ")
    }

    /// A server that quotes an IP address in a refusal before the content quotes ours: `Client host [192.0.2.1] ...`.
    private static func quotesAnAddress(_ text: String) -> Bool {
        text.split { " []()<>,;=\"'".contains($0) }.contains { IPAddress(String($0)) != nil }
    }

    /// Block lists and reputation services, and what they and mailbox providers ask of a sending host.
    private static let names: Set<String> = [
        "spamhaus", "zen", "sbl", "xbl", "pbl", "cbl", "css", "abuseat", "barracuda", "barracudacentral", "spamcop",
        "sorbs", "uceprotect", "backscatterer", "psbl", "surriel", "mailspike", "spamrats", "invaluement", "dronebl",
        "nixspam", "manitu", "wpbl", "gbudb", "hostkarma", "junkemailfilter", "mxrate", "lashback", "0spam", "s5h",
        "senderscore", "senderbase", "talosintelligence", "cloudmark", "proofpoint", "trendmicro", "symanteccloud",
        "dnsbl", "dnsbls", "rbl", "rbls", "blacklist", "blacklisted", "blacklists", "blocklist", "blocklisted",
        "blocklists", "denylist", "denylisted", "reputation", "spf", "dkim", "dmarc", "ptr", "rdns", "fcrdns", "helo",
        "ehlo",
    ]

    private static let phrases = [
        "block list", "black list", "block-list", "deny list", "blocked using", "listed at", "listed in", "listed by",
        "client host", "your ip", "sending ip", "source ip", "connecting ip", "ip address", "your host", "your server",
        "your network", "your mail server", "reverse dns", "reverse lookup", "reverse hostname", "reverse name",
        "banned sending", "spam abuse detected", "not in whitelist", "not in allowlist", "dynamic ip", "dial-up",
        "dialup",
        "residential", "trend micro", "sender policy framework", "unauthenticated", "too many connections",
        "connection rate", "rate limit", "unusual rate",
    ]

    /// What makes a refusal after the content one of the content, though a list is named.
    private static let contentWords = [
        "surbl", "uribl", "dbl.", "url", "uri ", "link", "message contains", "attachment", "virus", "malware", "phish",
    ]
}
