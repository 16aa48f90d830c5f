import MailModel

/// The paths of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3).
///
/// Local-parts are taken literally: quotes stay, `%` and `!` mean nothing, and dots may stand anywhere, as they do in
/// old addresses of Japanese mobile carriers. Source routes are refused (RFC 5321 §3.3 allows it).
enum PathParser {
    /// Longer than the 256 octets of RFC 5321 §4.5.3.1.3, because bounce addresses of mailing services are.
    static let maximumLength = 512

    static func parse(_ cursor: inout CommandCursor, isReverse: Bool) throws(CommandSyntaxError) -> CommandPath {
        cursor.skipSpaces()
        guard cursor.skip(UInt8(ascii: "<")) else {
            throw self.malformed(isReverse)
        }
        if cursor.skip(UInt8(ascii: ">")) {
            guard isReverse, isBehindPath(cursor) else {
                throw self.malformed(isReverse)
            }
            return .null
        }
        guard cursor.peek != UInt8(ascii: "@") else {
            throw CommandSyntaxError(553, .init(5, 1, isReverse ? 7 : 3), "source routes are not accepted")
        }
        let start = cursor.index
        guard let localPart = takeLocalPart(&cursor) else {
            throw self.malformed(isReverse)
        }
        let domain = try takeDomain(&cursor, isReverse)
        guard cursor.index - start <= Self.maximumLength, cursor.skip(UInt8(ascii: ">")), isBehindPath(cursor) else {
            throw self.malformed(isReverse)
        }
        if localPart.hasPrefix("=?"), localPart.hasSuffix("?=") {
            throw CommandSyntaxError(
                553,
                .init(5, 6, 7),
                "the local-part is a MIME encoded-word: a non-ASCII address needs SMTPUTF8, not encoding"
            )
        }
        return .mailbox(localPart: localPart, domain: domain)
    }

    private static func malformed(_ isReverse: Bool) -> CommandSyntaxError {
        CommandSyntaxError(501, .init(5, 1, isReverse ? 7 : 3), "malformed address: expected <local-part@domain>")
    }

    private static func isBehindPath(_ cursor: CommandCursor) -> Bool {
        cursor.isAtEnd || cursor.peek == UInt8(ascii: " ") || cursor.peek == UInt8(ascii: "\t")
    }

    private static func takeLocalPart(_ cursor: inout CommandCursor) -> String? {
        let part =
            cursor.peek == UInt8(ascii: "\"") ? takeQuotedString(&cursor) : cursor.take(while: isLocalPartOctet)
        guard let part, !part.isEmpty else {
            return nil
        }
        return text(of: part)
    }

    /// A quoted string with its quotes; printable characters only, quoted-pairs included (RFC 5321 §4.1.2).
    private static func takeQuotedString(_ cursor: inout CommandCursor) -> Slice<UnsafeRawBufferPointer>? {
        var isEscaped = false
        var isOpening = true
        var isClosed = false
        let text = cursor.take { octet in
            if isOpening {
                isOpening = false
                return true
            }
            guard !isClosed, octet >= 0x20, octet != 0x7F else {
                return false
            }
            if isEscaped {
                isEscaped = false
            } else if octet == UInt8(ascii: "\\") {
                isEscaped = true
            } else if octet == UInt8(ascii: "\"") {
                isClosed = true
            }
            return true
        }
        return isClosed ? text : nil
    }

    private static func takeDomain(
        _ cursor: inout CommandCursor,
        _ isReverse: Bool
    ) throws(CommandSyntaxError) -> String? {
        guard cursor.skip(UInt8(ascii: "@")) else {
            return nil
        }
        let isLiteral = cursor.peek == UInt8(ascii: "[")
        let octets = cursor.take { octet in
            isLiteral ? isLiteralOctet(octet) : isDomainOctet(octet)
        }
        guard isLiteral || isName(octets), let domain = text(of: octets),
            !isLiteral || MailDomain(domain).literalAddress != nil
        else {
            throw self.malformed(isReverse)
        }
        return domain
    }

    /// Labels of 1 to 63 octets, one trailing dot tolerated, at most 255 octets in all.
    private static func isName(_ domain: Slice<UnsafeRawBufferPointer>) -> Bool {
        let dot = UInt8(ascii: ".")
        let name = domain.last == dot ? domain.dropLast() : domain
        guard (1...255).contains(name.count) else {
            return false
        }
        var rest = name
        while let end = rest.firstIndex(of: dot) {
            guard isLabel(rest[..<end]) else {
                return false
            }
            rest = rest[(end + 1)...]
        }
        return isLabel(rest)
    }

    private static func isLabel(_ label: Slice<UnsafeRawBufferPointer>) -> Bool {
        // Unicode labels are measured in their A-label form elsewhere; here they only have to be bounded.
        !label.isEmpty && (label.count <= 63 || label.contains { $0 >= 0x80 }) && label.first != UInt8(ascii: "-")
    }
}

/// The octets as text; nil where they are no UTF-8.
///
/// Nearly all are ASCII, which is text without a further look.
private func text(of octets: Slice<UnsafeRawBufferPointer>) -> String? {
    guard octets.allSatisfy({ $0 < 0x80 }) else {
        return String(validating: octets, as: UTF8.self)
    }
    return String(decoding: octets, as: UTF8.self)
}

/// `atext` and the dot (RFC 5322 §3.2.3), and UTF-8 (RFC 6531 §3.3).
private func isLocalPartOctet(_ octet: UInt8) -> Bool {
    if isAlphanumeric(octet) || octet >= 0x80 {
        return true
    }
    switch octet {
    case UInt8(ascii: "."), UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"),
        UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"),
        UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "?"), UInt8(ascii: "^"), UInt8(ascii: "_"),
        UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"), UInt8(ascii: "~"):
        return true
    default:
        return false
    }
}

/// Underscores are no part of a host name, and yet names of containers have them.
private func isDomainOctet(_ octet: UInt8) -> Bool {
    isAlphanumeric(octet) || octet >= 0x80 || octet == UInt8(ascii: ".") || octet == UInt8(ascii: "-")
        || octet == UInt8(ascii: "_")
}

private func isLiteralOctet(_ octet: UInt8) -> Bool {
    isAlphanumeric(octet) || octet == UInt8(ascii: "[") || octet == UInt8(ascii: "]") || octet == UInt8(ascii: ":")
        || octet == UInt8(ascii: ".")
}
