/// Walks over the octets of one command line, without its CRLF; valid only while the line's buffer is.
struct CommandCursor {
    let octets: UnsafeRawBufferPointer
    private(set) var index = 0

    init(_ octets: UnsafeRawBufferPointer) {
        self.octets = octets
    }

    var isAtEnd: Bool {
        self.index >= self.octets.count
    }

    /// The octet at the cursor, without moving.
    var peek: UInt8? {
        self.isAtEnd ? nil : self.octets[self.index]
    }

    mutating func advance() {
        self.index = min(self.index + 1, self.octets.count)
    }

    /// Moves behind the octet if it stands at the cursor.
    mutating func skip(_ octet: UInt8) -> Bool {
        guard self.peek == octet else {
            return false
        }
        self.index += 1
        return true
    }

    mutating func skipSpaces() {
        while let octet = self.peek, octet == UInt8(ascii: " ") || octet == UInt8(ascii: "\t") {
            self.index += 1
        }
    }

    /// Moves behind a word of ASCII letters and colons if it stands at the cursor in any case.
    mutating func skipWord(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard self.octets.count - self.index >= count else {
            return false
        }
        let matches = word.withUTF8Buffer { wanted in
            (0..<count).allSatisfy { upperCased(self.octets[self.index + $0]) == upperCased(wanted[$0]) }
        }
        if matches {
            self.index += count
        }
        return matches
    }

    /// Moves over all octets that satisfy a condition and returns them.
    mutating func take(while condition: (UInt8) -> Bool) -> Slice<UnsafeRawBufferPointer> {
        let start = self.index
        while self.index < self.octets.count, condition(self.octets[self.index]) {
            self.index += 1
        }
        return self.octets[start..<self.index]
    }

    /// Everything from the cursor on, without spaces at its end.
    mutating func takeRest() -> Slice<UnsafeRawBufferPointer> {
        var rest = self.octets[self.index...]
        while let last = rest.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") {
            rest = rest.dropLast()
        }
        self.index = self.octets.count
        return rest
    }
}

/// The octet as an upper-case letter if it is an ASCII letter.
func upperCased(_ octet: UInt8) -> UInt8 {
    (0x61...0x7A).contains(octet) ? octet - 0x20 : octet
}

/// Letters, digits and nothing else of ASCII.
func isAlphanumeric(_ octet: UInt8) -> Bool {
    (0x30...0x39).contains(octet) || (0x41...0x5A).contains(octet) || (0x61...0x7A).contains(octet)
}
