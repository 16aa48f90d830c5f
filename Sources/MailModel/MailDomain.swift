/// The part of a mailbox after the `@`: a domain name or an address literal (RFC 5321 §4.1.2).
package struct MailDomain: Hashable, Sendable, CustomStringConvertible {
    /// As it was written, without a trailing dot; literals keep their brackets.
    package let text: String

    /// Wraps text that a parser has found to be a domain or an address literal.
    package init(_ text: String) {
        self.text = text.utf8.last == UInt8(ascii: ".") ? String(text.unicodeScalars.dropLast()) : text
    }

    /// Whether this is an address literal such as `[192.0.2.1]`, which is never looked up.
    package var isLiteral: Bool {
        self.text.utf8.first == UInt8(ascii: "[")
    }

    /// The address of a literal; nil for a domain name and for a literal of a kind that we do not know.
    package var literalAddress: IPAddress? {
        guard self.isLiteral, self.text.utf8.last == UInt8(ascii: "]") else {
            return nil
        }
        let inside = self.text.dropFirst().dropLast()
        if inside.lowercased().hasPrefix("ipv6:") {
            return IPAddress(String(inside.dropFirst(5)))
        }
        return IPAddress(String(inside))
    }

    /// The name in lower case, for comparing and as a key (domain names compare without regard to ASCII case).
    package var key: String {
        self.text.lowercased()
    }

    /// Whether the domain has only ASCII characters, and so needs no SMTPUTF8 (RFC 6531).
    package var isASCII: Bool {
        consistsOfASCII(self.text)
    }

    package var description: String {
        self.text
    }

    package static func == (left: MailDomain, right: MailDomain) -> Bool {
        left.text == right.text || left.key == right.key
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.key)
    }
}

/// Whether a text has only ASCII characters; asked for every address, and so looked at as octets.
func consistsOfASCII(_ text: String) -> Bool {
    var text = text
    return text.withUTF8 { $0.allSatisfy { $0 < 0x80 } }
}
