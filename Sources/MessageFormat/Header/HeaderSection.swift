/// The fields of a header section, in their order (RFC 5322 §2.2).
///
/// Reading never fails: what cannot be a field ends the section, and limits bound what is kept.
package struct HeaderSection: Sendable {
    /// Octets of a header section that are read; Postfix keeps 100 KiB, RFC 5322 names no limit.
    package static let sizeLimit = 262_144
    /// Fields that are kept.
    package static let fieldLimit = 2_000

    package let fields: [HeaderField]
    /// Where the body begins, in octets from the start of the section, after the empty line if there is one.
    package let length: Int
    /// False when a limit was passed, so that fields may be missing.
    package let isComplete: Bool

    /// Reads the fields at the beginning of some content.
    package init(_ bytes: ArraySlice<UInt8>) {
        var fields: [HeaderField] = []
        var length = 0
        var isComplete = true
        bytes.prefix(HeaderSection.sizeLimit).withUnsafeBytes { octets in
            var scanner = FieldScanner(octets)
            scanning: while true {
                switch scanner.next() {
                case .field(let range, let nameLength, let bodyStart):
                    guard fields.count < HeaderSection.fieldLimit else {
                        length = range.lowerBound
                        isComplete = false
                        break scanning
                    }
                    fields.append(HeaderField(octets, range, nameLength: nameLength, bodyStart: bodyStart))
                case .emptyLine(let range):
                    length = range.upperBound
                    break scanning
                case .stray(let position):
                    length = position
                    isComplete = position < octets.count || octets.count == bytes.count
                    break scanning
                }
            }
        }
        self.fields = fields
        self.length = length
        self.isComplete = isComplete
    }

    package init(_ bytes: [UInt8]) {
        self.init(bytes[...])
    }

    /// The first field of a name, without regard to case.
    package func first(_ name: String) -> HeaderField? {
        self.fields.first { $0.isNamed(name) }
    }

    /// All fields of a name, without regard to case.
    package func all(_ name: String) -> [HeaderField] {
        self.fields.filter { $0.isNamed(name) }
    }
}

/// One header field: a name and a body that may be folded over several lines.
package struct HeaderField: Hashable, Sendable {
    /// As it was written.
    package let name: String
    /// The octets after the colon with their folds, without the last line end.
    package let rawBody: [UInt8]

    package init(name: String, rawBody: [UInt8]) {
        self.name = name
        self.rawBody = rawBody
    }

    init(_ octets: UnsafeRawBufferPointer, _ range: Range<Int>, nameLength: Int, bodyStart: Int) {
        var end = range.upperBound
        if end > bodyStart, octets[end - 1] == 0x0A {
            end -= 1
        }
        if end > bodyStart, octets[end - 1] == 0x0D {
            end -= 1
        }
        let nameEnd = range.lowerBound + nameLength
        self.name = String(decoding: octets[range.lowerBound..<nameEnd], as: UTF8.self)
        self.rawBody = Array(octets[bodyStart..<end])
    }

    /// Whether the field has this name, without regard to ASCII case.
    package func isNamed(_ other: String) -> Bool {
        let (own, other) = (self.name.utf8, other.utf8)
        return own.count == other.count && zip(own, other).allSatisfy { lowercased($0) == lowercased($1) }
    }

    /// The body on one line: folds removed, trimmed, control characters as spaces, still encoded (RFC 5322 §2.2.3).
    ///
    /// Octets that are not UTF-8 are read as Windows-1252.
    package var unfolded: String {
        var line: [UInt8] = []
        line.reserveCapacity(self.rawBody.count)
        for octet in self.rawBody where octet != 0x0D && octet != 0x0A {
            line.append(octet < 0x20 || octet == 0x7F ? 0x20 : octet)
        }
        return Charset.decodeUndeclared(trimmed(line[...]))
    }

    /// The body on one line for people: unfolded and with its encoded words decoded (RFC 2047).
    package var text: String {
        EncodedWord.decode(self.unfolded)
    }
}

/// An ASCII letter in lower case; every other octet as it is.
func lowercased(_ byte: UInt8) -> UInt8 {
    (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
}

/// The octets without spaces and tabs at both ends.
func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
    let front = bytes.drop(while: isBlank)
    return front.lastIndex { !isBlank($0) }.map { front[...$0] } ?? []
}
