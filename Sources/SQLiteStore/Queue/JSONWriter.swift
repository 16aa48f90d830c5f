import MailModel

/// Writes JSON member by member, for rows that are written with every attempt.
///
/// `JSONEncoder` boxes every value and looks up its type; that was a twentieth of all work for a message.
struct JSONWriter {
    private var written = TextOctets(capacity: 512)
    private var needsComma = false

    /// What was written, as text.
    var text: String {
        self.written.text
    }

    mutating func object(_ members: (inout JSONWriter) -> Void) {
        self.enclosed(by: "{", "}", members)
    }

    mutating func array<Element>(_ elements: [Element], _ write: (inout JSONWriter, Element) -> Void) {
        self.enclosed(by: "[", "]") { writer in
            for element in elements {
                write(&writer, element)
            }
        }
    }

    mutating func string(_ text: String) {
        self.separate()
        self.written.write(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { utf8 in
            if utf8.contains(where: needsEscape) {
                self.writeEscaped(utf8)
            } else {
                self.written.write(utf8)
            }
        }
        self.written.write(UInt8(ascii: "\""))
        self.needsComma = true
    }

    private mutating func writeEscaped(_ text: UnsafeBufferPointer<UInt8>) {
        for octet in text {
            switch octet {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                self.written.write(UInt8(ascii: "\\"))
                self.written.write(octet)
            case 0..<0x20:
                self.written.write("\\u00")
                self.written.write(hexadecimalDigit(octet >> 4))
                self.written.write(hexadecimalDigit(octet & 0xF))
            default:
                self.written.write(octet)
            }
        }
    }

    /// A member of an object whose value the caller writes next; the name needs no escapes.
    mutating func key(_ name: StaticString) {
        self.separate()
        self.written.write(UInt8(ascii: "\""))
        name.withUTF8Buffer { self.written.write($0) }
        self.written.write(UInt8(ascii: "\""))
        self.written.write(UInt8(ascii: ":"))
        self.needsComma = false
    }

    /// Leaves out a member without a value.
    mutating func member(_ name: StaticString, _ value: String?) {
        guard let value else {
            return
        }
        self.key(name)
        self.string(value)
    }

    mutating func member(_ name: StaticString, _ value: Int64) {
        self.key(name)
        self.word(String(value))
    }

    mutating func member(_ name: StaticString, _ value: Bool) {
        self.key(name)
        self.word(value ? "true" : "false")
    }

    mutating func member(_ name: StaticString, _ values: [String]) {
        self.key(name)
        self.array(values) { $0.string($1) }
    }

    private mutating func word(_ word: String) {
        self.separate()
        self.written.write(word)
        self.needsComma = true
    }

    private mutating func enclosed(
        by opening: Unicode.Scalar,
        _ closing: Unicode.Scalar,
        _ body: (inout JSONWriter) -> Void
    ) {
        self.separate()
        self.written.write(UInt8(ascii: opening))
        self.needsComma = false
        body(&self)
        self.written.write(UInt8(ascii: closing))
        self.needsComma = true
    }

    private mutating func separate() {
        if self.needsComma {
            self.written.write(UInt8(ascii: ","))
        }
    }
}

private func needsEscape(_ octet: UInt8) -> Bool {
    octet < 0x20 || octet == UInt8(ascii: "\"") || octet == UInt8(ascii: "\\")
}

private func hexadecimalDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}
