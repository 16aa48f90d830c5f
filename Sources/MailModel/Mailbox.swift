/// A mailbox as an envelope names it: local-part and domain (RFC 5321 §4.1.2, RFC 6531 §3.3).
package struct Mailbox: Hashable, Sendable, CustomStringConvertible {
    /// As it stood on the wire, quotes included; never rewritten and never interpreted (RFC 5321 §2.3.11).
    package let localPart: String
    package let domain: MailDomain

    /// Joins two parts that a parser has found to be valid.
    package init(localPart: String, domain: MailDomain) {
        self.localPart = localPart
        self.domain = domain
    }

    /// The form between the angle brackets of `MAIL` and `RCPT`.
    package var description: String {
        "\(self.localPart)@\(self.domain.text)"
    }

    /// Whether the mailbox can travel without SMTPUTF8 (RFC 6531); a Unicode domain alone could go as A-labels.
    package var isASCII: Bool {
        consistsOfASCII(self.localPart) && self.domain.isASCII
    }
}
