/// The octets of one log line, written in place: two lines a message are written, and a string for each part would
/// cost more than the line.
struct LogLine {
    private(set) var octets: [UInt8] = []

    init() {
        self.octets.reserveCapacity(320)
    }

    /// Text of our own, as it is.
    mutating func write(_ text: String) {
        self.octets.append(contentsOf: text.utf8)
    }

    /// Text of anybody, with control characters as `\u{a}`, so that one event stays one line.
    mutating func writeVisibly(_ text: String) {
        self.write(text, as: .visible)
    }

    /// A value behind `key=`: in quotation marks where it would not end by itself, with its own ones as `'`.
    mutating func writeQuoted(_ text: String) {
        guard text.isEmpty || text.utf8.contains(where: { $0 == 0x20 || $0 == 0x22 || $0 == 0x3D }) else {
            self.write(text, as: .visible)
            return
        }
        self.octets.append(UInt8(ascii: "\""))
        self.write(text, as: .quoted)
        self.octets.append(UInt8(ascii: "\""))
    }

    /// Text as a JSON string with its quotation marks.
    mutating func writeJSON(_ text: String) {
        self.octets.append(UInt8(ascii: "\""))
        self.write(text, as: .json)
        self.octets.append(UInt8(ascii: "\""))
    }

    private enum Notation {
        case visible, quoted, json
    }

    private mutating func write(_ text: String, as notation: Notation) {
        // Nearly all text is plain, and stays as it was written; only the rest is looked at character by character.
        let start = self.octets.count
        self.write(text)
        guard self.octets[start...].contains(where: isSpecial) else {
            return
        }
        self.octets.removeSubrange(start...)
        for scalar in text.unicodeScalars {
            switch (scalar, notation) {
            case (_, .json) where scalar.isControl: self.write(escaped(scalar))
            case _ where scalar.isControl: self.write("\\u{\(String(scalar.value, radix: 16))}")
            case ("\"", .json): self.write("\\\"")
            case ("\\", .json): self.write("\\\\")
            case ("\"", .quoted): self.write("'")
            default: self.octets.append(contentsOf: UTF8.encode(scalar) ?? .encodedReplacementCharacter)
            }
        }
    }
}

/// Whether an octet may have to be written in another way.
private func isSpecial(_ octet: UInt8) -> Bool {
    octet < 0x20 || octet > 0x7E || octet == UInt8(ascii: "\"") || octet == UInt8(ascii: "\\")
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool {
        self.value < 0x20 || (0x7F...0x9F).contains(self.value) || (0x2028...0x2029).contains(self.value)
    }
}
