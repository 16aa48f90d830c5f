import MailModel

extension Command {
    /// Parses one line without its CRLF; verbs and keywords in any case.
    ///
    /// The caller has made sure that the line holds neither CR nor LF.
    package init(parsing octets: UnsafeRawBufferPointer) throws(CommandSyntaxError) {
        var cursor = CommandCursor(octets)
        let word = cursor.take(while: isAlphanumeric)
        guard cursor.isAtEnd || cursor.peek == UInt8(ascii: " ") || cursor.peek == UInt8(ascii: "\t") else {
            guard cursor.peek == UInt8(ascii: ":") || cursor.peek == UInt8(ascii: "-"), !word.isEmpty else {
                throw .unrecognized
            }
            // `Host: ...`, `Content-Type: ...`: the header lines of a request whose first line was not seen.
            guard cursor.takeRest().contains(UInt8(ascii: ":")) else {
                throw .unrecognized
            }
            self = .hypertext(verb: String(decoding: word, as: UTF8.self))
            return
        }
        guard (1...12).contains(word.count), !cursor.octets.contains(0) else {
            throw .unrecognized
        }
        self = try Command(verb: word, arguments: &cursor)
    }

    private init(verb: Slice<UnsafeRawBufferPointer>, arguments cursor: inout CommandCursor) throws(CommandSyntaxError)
    {
        switch packed(verb) {
        case Verb.mail: self = try parseMail(&cursor)
        case Verb.recipient: self = try parseRecipient(&cursor)
        case Verb.data: self = try parseBare(.data, &cursor)
        case Verb.chunk: self = try parseChunk(&cursor)
        case Verb.extendedHello: self = try parseHello(&cursor, isExtended: true)
        case Verb.hello: self = try parseHello(&cursor, isExtended: false)
        case Verb.reset: self = try parseBare(.reset, &cursor)
        case Verb.startTLS: self = try parseBare(.startTLS, &cursor)
        case Verb.authenticate: self = try parseAuthenticate(&cursor)
        case Verb.quit: self = .quit
        case Verb.noop: self = .noop
        case Verb.verify: self = .verify
        case Verb.help: self = .help
        default: self = try parseOther(String(decoding: verb, as: UTF8.self).uppercased())
        }
    }
}

extension CommandSyntaxError {
    static let unrecognized = CommandSyntaxError(500, .init(5, 5, 2), "command not recognized")
}

/// Verbs as numbers: eight upper-case letters at most, the last in the lowest octet.
private enum Verb {
    static let mail = packed("MAIL".utf8)
    static let recipient = packed("RCPT".utf8)
    static let data = packed("DATA".utf8)
    static let chunk = packed("BDAT".utf8)
    static let extendedHello = packed("EHLO".utf8)
    static let hello = packed("HELO".utf8)
    static let reset = packed("RSET".utf8)
    static let startTLS = packed("STARTTLS".utf8)
    static let authenticate = packed("AUTH".utf8)
    static let quit = packed("QUIT".utf8)
    static let noop = packed("NOOP".utf8)
    static let verify = packed("VRFY".utf8)
    static let help = packed("HELP".utf8)
}

private func packed(_ letters: some Collection<UInt8>) -> UInt64 {
    letters.count > 8 ? 0 : letters.reduce(0) { $0 << 8 | UInt64(upperCased($1)) }
}

private let unimplementedVerbs: Set<String> = [
    "EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML", "XCLIENT", "XFORWARD", "BURL",
]
private let hypertextVerbs: Set<String> = [
    "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI",
]

private func parseOther(_ verb: String) throws(CommandSyntaxError) -> Command {
    if unimplementedVerbs.contains(verb) {
        return .unimplemented(verb: verb)
    }
    guard hypertextVerbs.contains(verb) else {
        throw .unrecognized
    }
    return .hypertext(verb: verb)
}

private func parseBare(_ command: Command, _ cursor: inout CommandCursor) throws(CommandSyntaxError) -> Command {
    guard cursor.takeRest().isEmpty else {
        throw CommandSyntaxError(501, .init(5, 5, 4), "this command takes no argument")
    }
    return command
}

/// Takes whatever names the client: container ids, underscores, literals; only nothing and control characters are wrong.
private func parseHello(_ cursor: inout CommandCursor, isExtended: Bool) throws(CommandSyntaxError) -> Command {
    cursor.skipSpaces()
    let name = cursor.takeRest()
    guard !name.isEmpty, !name.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
        throw CommandSyntaxError(501, .init(5, 5, 4), "\(isExtended ? "EHLO" : "HELO") needs the name of the client")
    }
    return .hello(name: String(decoding: name.prefix(255), as: UTF8.self), isExtended: isExtended)
}

private func parseMail(_ cursor: inout CommandCursor) throws(CommandSyntaxError) -> Command {
    cursor.skipSpaces()
    guard cursor.skipWord("FROM:") else {
        throw CommandSyntaxError(501, .init(5, 5, 4), "syntax is MAIL FROM:<address>")
    }
    let path = try PathParser.parse(&cursor, isReverse: true)
    return .mail(path, try MailArguments(parsing: &cursor))
}

private func parseRecipient(_ cursor: inout CommandCursor) throws(CommandSyntaxError) -> Command {
    cursor.skipSpaces()
    guard cursor.skipWord("TO:") else {
        throw CommandSyntaxError(501, .init(5, 5, 4), "syntax is RCPT TO:<address>")
    }
    let path = try PathParser.parse(&cursor, isReverse: false)
    return .recipient(path, try RecipientArguments(parsing: &cursor))
}

/// A size that cannot be read leaves no way to tell where the chunk ends: the session ends with it (RFC 3030 §2).
private func parseChunk(_ cursor: inout CommandCursor) throws(CommandSyntaxError) -> Command {
    cursor.skipSpaces()
    let digits = cursor.take { (0x30...0x39).contains($0) }
    guard (1...18).contains(digits.count) else {
        throw CommandSyntaxError(501, .init(5, 5, 4), "syntax is BDAT size [LAST]", endsSession: true)
    }
    let octets = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    cursor.skipSpaces()
    guard !cursor.isAtEnd else {
        return .chunk(octets: octets, isLast: false)
    }
    guard cursor.skipWord("LAST"), cursor.takeRest().isEmpty else {
        throw CommandSyntaxError(501, .init(5, 5, 4), "syntax is BDAT size [LAST]", endsSession: true)
    }
    return .chunk(octets: octets, isLast: true)
}

private func parseAuthenticate(_ cursor: inout CommandCursor) throws(CommandSyntaxError) -> Command {
    cursor.skipSpaces()
    let mechanism = cursor.take { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
    let isSeparated = cursor.isAtEnd || cursor.peek == UInt8(ascii: " ")
    guard (1...20).contains(mechanism.count), isSeparated else {
        throw CommandSyntaxError(501, .init(5, 5, 4), "syntax is AUTH mechanism [initial-response]")
    }
    cursor.skipSpaces()
    let response = cursor.takeRest()
    return .authenticate(
        mechanism: String(decoding: mechanism, as: UTF8.self).uppercased(),
        initialResponse: response.isEmpty ? nil : String(decoding: response, as: UTF8.self)
    )
}
