package import MailModel

/// What a server said that it can do, in its reply to EHLO (RFC 5321 §4.1.1.1).
package struct OfferedExtensions: Hashable, Sendable {
    /// The name that the server calls itself.
    package var serverName = ""
    package var startTLS = false
    package var pipelining = false
    package var eightBitMIME = false
    package var smtpUTF8 = false
    package var deliveryStatus = false
    package var requireTLS = false
    /// The largest message in octets; nil when SIZE is not offered or says no limit (RFC 1870).
    package var sizeLimit: Int?
    /// Whether SIZE= may be said with MAIL.
    package var size = false
    /// AUTH mechanisms in upper case.
    package var mechanisms: Set<String> = []
    /// The most recipients of one transaction, from LIMITS RCPTMAX (RFC 9422).
    package var maximumRecipients: Int?

    /// What is known of a server that only answered HELO: nothing.
    package init() {}

    /// Reads a reply to EHLO; unknown and malformed lines are passed over.
    package init(reply: Reply) {
        self.serverName = reply.lines.first.map { String($0.prefix { $0 != " " }) } ?? ""
        for line in reply.lines.dropFirst() {
            self.read(line.uppercased().split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init))
        }
    }

    private mutating func read(_ words: [String]) {
        switch words.first {
        case "STARTTLS": self.startTLS = true
        case "PIPELINING": self.pipelining = true
        case "8BITMIME": self.eightBitMIME = true
        case "SMTPUTF8": self.smtpUTF8 = true
        case "DSN": self.deliveryStatus = true
        case "REQUIRETLS": self.requireTLS = true
        case "SIZE":
            self.size = true
            self.sizeLimit = words.dropFirst().first.flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        case "AUTH": self.mechanisms.formUnion(words.dropFirst())
        case "LIMITS":
            let value = words.dropFirst().first { $0.hasPrefix("RCPTMAX=") }?.dropFirst("RCPTMAX=".count)
            self.maximumRecipients = value.flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        // "AUTH=LOGIN PLAIN" is what servers wrote for clients of the draft before RFC 2554; some still do.
        case .some(let word) where word.hasPrefix("AUTH="):
            self.mechanisms.formUnion([String(word.dropFirst(5))] + words.dropFirst())
        case .some, nil: break
        }
    }
}
