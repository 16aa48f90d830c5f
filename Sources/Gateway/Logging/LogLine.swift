import MailModel

/// The octets of one log line, written in place: two lines a message are written.
struct LogLine {
    private var line = TextOctets(capacity: 320)

    var octets: [UInt8] {
        self.line.octets
    }

    /// Text of our own, as it is.
    mutating func write(_ text: String) {
        self.line.write(text)
    }

    mutating func write(_ octet: UInt8) {
        self.line.write(octet)
    }

    /// Text of anybody, with control characters as `\u{a}`, so that one event stays one line.
    mutating func writeVisibly(_ text: String) {
        self.write(text, as: .visible)
    }

    /// A value behind `key=`: in quotation marks where it would not end by itself, with its own ones as `'`.
    mutating func writeQuoted(_ text: String) {
        self.write(text, as: .quoted)
    }

    /// Text as a JSON string with its quotation marks.
    mutating func writeJSON(_ text: String) {
        self.write(text, as: .json)
    }

    private enum Notation {
        case visible, quoted, json
    }

    private mutating func write(_ text: String, as notation: Notation) {
        var text = text
        // Nearly all text is plain, and stays as it was written; only the rest is looked at character by character.
        let marks = text.withUTF8 { octets in
            let marks = Marks(of: octets)
            if !marks.contains(.special) {
                self.write(octets, isQuoted: self.isQuoted(notation, marks))
            }
            return marks
        }
        guard marks.contains(.special) else {
            return
        }
        let isQuoted = self.isQuoted(notation, marks)
        if isQuoted {
            self.line.write(UInt8(ascii: "\""))
        }
        for scalar in text.unicodeScalars {
            switch (scalar, notation) {
            case (_, .json) where scalar.isControl: self.write(escaped(scalar))
            case _ where scalar.isControl: self.write("\\u{\(String(scalar.value, radix: 16))}")
            case ("\"", .json): self.write("\\\"")
            case ("\\", .json): self.write("\\\\")
            case ("\"", .quoted): self.write("'")
            default: self.write(String(scalar))
            }
        }
        if isQuoted {
            self.line.write(UInt8(ascii: "\""))
        }
    }

    private mutating func write(_ octets: UnsafeBufferPointer<UInt8>, isQuoted: Bool) {
        guard isQuoted else {
            self.line.write(octets)
            return
        }
        self.line.write(UInt8(ascii: "\""))
        self.line.write(octets)
        self.line.write(UInt8(ascii: "\""))
    }

    private func isQuoted(_ notation: Notation, _ marks: Marks) -> Bool {
        switch notation {
        case .visible: false
        case .quoted: marks.contains(.parting)
        case .json: true
        }
    }
}

/// What a text has that may not stand in a line as it is.
private struct Marks: OptionSet {
    let rawValue: UInt8

    /// Something may have to be written in another way.
    static let special = Marks(rawValue: 1)
    /// In a value behind `key=`, it would seem to end it; so does having nothing at all.
    static let parting = Marks(rawValue: 2)

    init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    init(of octets: UnsafeBufferPointer<UInt8>) {
        self = octets.isEmpty ? .parting : []
        for octet in octets {
            self.formUnion(marksOfOctets[Int(octet)])
        }
    }

    fileprivate init(of octet: UInt8) {
        switch octet {
        case UInt8(ascii: " "), UInt8(ascii: "="): self = .parting
        case UInt8(ascii: "\""): self = [.parting, .special]
        case UInt8(ascii: "\\"), 0..<0x20, 0x7F...: self = .special
        default: self = []
        }
    }
}

private let marksOfOctets = (UInt8.min...UInt8.max).map(Marks.init(of:))

extension Unicode.Scalar {
    fileprivate var isControl: Bool {
        self.value < 0x20 || (0x7F...0x9F).contains(self.value) || (0x2028...0x2029).contains(self.value)
    }
}
