import MailModel

extension MailArguments {
    /// Parses what follows the path of MAIL.
    init(parsing cursor: inout CommandCursor) throws(CommandSyntaxError) {
        self.init()
        var seen: Set<String> = []
        while let parameter = try Parameter(&cursor) {
            try self.take(parameter)
            try parameter.mustBeNew(&seen)
        }
    }

    private mutating func take(_ parameter: Parameter) throws(CommandSyntaxError) {
        switch parameter.keyword {
        case "SIZE":
            self.size = try parameter.number()
        case "BODY":
            guard let body = MailParameters.BodyType(rawValue: parameter.upperCasedValue) else {
                throw parameter.malformed
            }
            guard body != .binaryMIME else {
                throw CommandSyntaxError(555, .init(5, 5, 4), "BODY=BINARYMIME is not offered")
            }
            self.parameters.body = body
        case "SMTPUTF8":
            guard parameter.value == nil else {
                throw parameter.malformed
            }
            self.parameters.smtpUTF8 = true
        case "REQUIRETLS":
            guard parameter.value == nil else {
                throw parameter.malformed
            }
            self.parameters.requireTLS = true
        case "RET":
            guard let content = MailParameters.ReturnContent(rawValue: parameter.upperCasedValue) else {
                throw parameter.malformed
            }
            self.parameters.returnContent = content
        case "ENVID":
            self.parameters.envelopeID = try parameter.xtext(limit: 100)
        case "AUTH":
            // RFC 4954 §5: who first submitted the message; we trust nobody's word for it, and so drop it.
            guard parameter.value != nil else {
                throw parameter.malformed
            }
        default:
            throw parameter.unknown
        }
    }
}

extension RecipientArguments {
    /// Parses what follows the path of RCPT.
    init(parsing cursor: inout CommandCursor) throws(CommandSyntaxError) {
        self.init()
        var seen: Set<String> = []
        while let parameter = try Parameter(&cursor) {
            try self.take(parameter)
            try parameter.mustBeNew(&seen)
        }
    }

    private mutating func take(_ parameter: Parameter) throws(CommandSyntaxError) {
        switch parameter.keyword {
        case "NOTIFY":
            self.notify = try parameter.notify()
        case "ORCPT":
            self.originalRecipient = try parameter.originalRecipient()
        default:
            throw parameter.unknown
        }
    }
}

/// One `KEYWORD[=value]` (RFC 5321 §4.1.2).
private struct Parameter {
    /// In upper case.
    let keyword: String
    let value: String?

    /// Takes the next parameter; nil at the end of the line.
    init?(_ cursor: inout CommandCursor) throws(CommandSyntaxError) {
        cursor.skipSpaces()
        guard !cursor.isAtEnd else {
            return nil
        }
        let keyword = cursor.take { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
        var value: String?
        if cursor.skip(UInt8(ascii: "=")) {
            value = String(validating: cursor.take { $0 > 0x20 && $0 != 0x7F }, as: UTF8.self)
            guard let value, !value.isEmpty else {
                throw CommandSyntaxError(501, .init(5, 5, 4), "malformed parameter")
            }
        }
        guard !keyword.isEmpty, cursor.isAtEnd || cursor.peek == UInt8(ascii: " ") || cursor.peek == 0x09 else {
            throw CommandSyntaxError(501, .init(5, 5, 4), "malformed parameter")
        }
        self.keyword = String(decoding: keyword, as: UTF8.self).uppercased()
        self.value = value
    }

    var upperCasedValue: String {
        (self.value ?? "").uppercased()
    }

    var malformed: CommandSyntaxError {
        CommandSyntaxError(501, .init(5, 5, 4), "malformed value of \(self.keyword)")
    }

    var unknown: CommandSyntaxError {
        CommandSyntaxError(555, .init(5, 5, 4), "parameter not recognized: \(self.keyword)")
    }

    func mustBeNew(_ seen: inout Set<String>) throws(CommandSyntaxError) {
        guard seen.insert(self.keyword).inserted else {
            throw CommandSyntaxError(501, .init(5, 5, 4), "\(self.keyword) given twice")
        }
    }

    /// Up to 20 digits (RFC 1870 §3); what does not fit an `Int` becomes the largest.
    func number() throws(CommandSyntaxError) -> Int {
        guard let value = self.value, (1...20).contains(value.utf8.count),
            value.utf8.allSatisfy({ (0x30...0x39).contains($0) })
        else {
            throw self.malformed
        }
        return Int(value) ?? .max
    }

    func xtext(limit: Int) throws(CommandSyntaxError) -> String {
        guard let value = self.value, value.utf8.count <= limit, isXtext(value.utf8) else {
            throw self.malformed
        }
        return value
    }

    func notify() throws(CommandSyntaxError) -> Notify {
        let words = self.upperCasedValue.split(separator: ",", omittingEmptySubsequences: false)
        guard words != ["NEVER"] else {
            return .never
        }
        var notify: Notify = []
        for word in words {
            switch word {
            case "SUCCESS": notify.insert(.success)
            case "FAILURE": notify.insert(.failure)
            case "DELAY": notify.insert(.delay)
            default: throw self.malformed
            }
        }
        return notify
    }

    /// `addr-type;xtext` (RFC 3461 §4.2), or `utf-8;` with the characters of RFC 6533 §3.
    func originalRecipient() throws(CommandSyntaxError) -> String {
        guard let value = self.value, value.utf8.count <= 500,
            let semicolon = value.utf8.firstIndex(of: UInt8(ascii: ";"))
        else {
            throw self.malformed
        }
        let type = value.utf8[..<semicolon]
        let address = value.utf8[value.utf8.index(after: semicolon)...]
        let isUnicode = String(value[..<semicolon]).lowercased() == "utf-8"
        guard !type.isEmpty, type.allSatisfy({ isAlphanumeric($0) || $0 == UInt8(ascii: "-") }), !address.isEmpty,
            isUnicode ? !address.contains(UInt8(ascii: "=")) : isXtext(address)
        else {
            throw self.malformed
        }
        return value
    }
}

/// Printable ASCII without `+` and `=`, and `+` before two upper-case hexadecimal digits (RFC 3461 §4).
private func isXtext(_ octets: some Collection<UInt8>) -> Bool {
    var digits = 0
    for octet in octets {
        if digits > 0 {
            guard (0x30...0x39).contains(octet) || (0x41...0x46).contains(octet) else {
                return false
            }
            digits -= 1
        } else if octet == UInt8(ascii: "+") {
            digits = 2
        } else if !(0x21...0x7E).contains(octet) || octet == UInt8(ascii: "=") {
            return false
        }
    }
    return digits == 0
}
