import MailModel

/// An address as Postfix keeps it in a queue file: without quotes, so that only the last `@` divides it.
enum InternalAddress {
    /// The longest that is taken, as in our own listener.
    private static let limit = 512

    /// Reads an address and writes its local-part as SMTP wants it; one without a domain gets `defaultDomain`.
    static func mailbox(_ text: String, defaultDomain: String) throws(QueueFileDamage) -> Mailbox {
        let at = text.lastIndex(of: "@")
        let localPart = at.map { text[..<$0] } ?? text[...]
        let domain = at.map { String(text[text.index(after: $0)...]) } ?? defaultDomain
        guard !localPart.isEmpty, text.utf8.count <= Self.limit, isDomain(domain),
            !text.unicodeScalars.contains(where: isControl)
        else {
            throw .badAddress(String(text.prefix(Self.limit)))
        }
        return Mailbox(localPart: quotedWhereNeeded(localPart), domain: MailDomain(domain))
    }

    /// A local-part that is no dot-string in quotes (RFC 5321 §4.1.2).
    private static func quotedWhereNeeded(_ localPart: Substring) -> String {
        let isPlain = localPart.unicodeScalars.allSatisfy { isAtomText($0) || $0 == "." }
        guard !isPlain else {
            return String(localPart)
        }
        let escaped = localPart.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined()
        return "\"\(escaped)\""
    }

    private static func isDomain(_ domain: String) -> Bool {
        (1...255).contains(domain.utf8.count)
            && domain.unicodeScalars.allSatisfy { scalar in
                isAtomText(scalar) || scalar == "." || scalar == "[" || scalar == "]" || scalar == ":"
            }
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || scalar.value == 0x7F
    }

    /// RFC 5322 §3.2.3, and what RFC 6531 §3.3 adds.
    private static func isAtomText(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9": true
        case "!", "#", "$", "%", "&", "'", "*", "+", "-", "/", "=", "?", "^", "_", "`", "{", "|", "}", "~": true
        default: scalar.value >= 0x80
        }
    }
}

/// Text as xtext (RFC 3461 §4), which Postfix decodes on arrival; nil when it cannot be written so.
func extendedText(_ text: String) -> String? {
    guard !text.isEmpty, text.utf8.count <= 500, text.utf8.allSatisfy({ $0 < 0x7F }) else {
        return nil
    }
    return text.utf8.map { octet in
        switch octet {
        case UInt8(ascii: "+"), UInt8(ascii: "="), ...0x20:
            "+" + (octet < 16 ? "0" : "") + String(octet, radix: 16, uppercase: true)
        default: String(Unicode.Scalar(octet))
        }
    }.joined()
}
