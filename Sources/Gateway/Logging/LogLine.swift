import MailModel

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

    /// The moment as RFC 3339 in UTC with milliseconds.
    mutating func write(_ moment: Timestamp) {
        let civil = moment.civil
        self.write(civil.year, digits: 4)
        self.octets.append(UInt8(ascii: "-"))
        self.write(civil.month, digits: 2)
        self.octets.append(UInt8(ascii: "-"))
        self.write(civil.day, digits: 2)
        self.octets.append(UInt8(ascii: "T"))
        self.write(civil.hour, digits: 2)
        self.octets.append(UInt8(ascii: ":"))
        self.write(civil.minute, digits: 2)
        self.octets.append(UInt8(ascii: ":"))
        self.write(civil.second, digits: 2)
        self.octets.append(UInt8(ascii: "."))
        self.write(civil.millisecond, digits: 3)
        self.octets.append(UInt8(ascii: "Z"))
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
        // Nearly all text is plain, and goes as it is; only the rest is looked at character by character.
        guard !text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) && $0 != 0x22 && $0 != 0x5C }) else {
            self.write(text)
            return
        }
        for scalar in text.unicodeScalars {
            switch (scalar, notation) {
            case (_, .json) where scalar.isControl:
                let hexadecimal = String(scalar.value, radix: 16)
                self.write("\\u" + String(repeating: "0", count: 4 - hexadecimal.count) + hexadecimal)
            case _ where scalar.isControl: self.write("\\u{\(String(scalar.value, radix: 16))}")
            case ("\"", .json): self.write("\\\"")
            case ("\\", .json): self.write("\\\\")
            case ("\"", .quoted): self.write("'")
            default: self.octets.append(contentsOf: UTF8.encode(scalar) ?? .encodedReplacementCharacter)
            }
        }
    }

    private mutating func write(_ number: Int, digits: Int) {
        var divisor = digits == 4 ? 1_000 : digits == 3 ? 100 : 10
        var rest = max(0, number)
        while divisor > 0 {
            self.octets.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / divisor % 10))
            rest %= divisor
            divisor /= 10
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool {
        self.value < 0x20 || (0x7F...0x9F).contains(self.value) || (0x2028...0x2029).contains(self.value)
    }
}
