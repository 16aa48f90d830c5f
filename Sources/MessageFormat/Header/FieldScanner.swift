/// Walks over the octets of a header section once and says where its fields lie (RFC 5322 §2.2).
///
/// Accepts CRLF and a lone LF as line ends, and white space before the colon (obsolete syntax, RFC 5322 §4.5).
struct FieldScanner {
    enum Event: Hashable {
        /// A field with its folded lines and its line end; the name lies at its beginning, the body after the colon.
        case field(Range<Int>, nameLength: Int, bodyStart: Int)
        /// The empty line that ends the header section.
        case emptyLine(Range<Int>)
        /// A line that cannot be a field, or the end of the octets: the header section ends before it.
        case stray(Int)
    }

    private let bytes: UnsafeRawBufferPointer
    private(set) var position: Int

    init(_ bytes: UnsafeRawBufferPointer, from position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    /// The next thing in the section; after `emptyLine` or `stray` the scan is over.
    mutating func next() -> Event {
        let start = self.position
        guard start < self.bytes.count else {
            return .stray(start)
        }
        var end = self.endOfLine(from: start)
        if self.bytes[start] == 0x0A || (self.bytes[start] == 0x0D && end == start + 2) {
            self.position = end
            return .emptyLine(start..<end)
        }
        guard let (nameLength, bodyStart) = self.name(from: start, to: end) else {
            return .stray(start)
        }
        while end < self.bytes.count, self.bytes[end] == 0x20 || self.bytes[end] == 0x09 {
            end = self.endOfLine(from: end)
        }
        self.position = end
        return .field(start..<end, nameLength: nameLength, bodyStart: bodyStart)
    }

    /// The offset after the next LF, or the end of the octets.
    private func endOfLine(from start: Int) -> Int {
        var index = start
        while index < self.bytes.count {
            if self.bytes[index] == 0x0A {
                return index + 1
            }
            index += 1
        }
        return index
    }

    private func name(from start: Int, to end: Int) -> (length: Int, bodyStart: Int)? {
        var index = start
        while index < end, self.bytes[index] > 0x20, self.bytes[index] < 0x7F, self.bytes[index] != 0x3A {
            index += 1
        }
        let length = index - start
        while index < end, self.bytes[index] == 0x20 || self.bytes[index] == 0x09 {
            index += 1
        }
        guard length > 0, index < end, self.bytes[index] == 0x3A else {
            return nil
        }
        return (length, index + 1)
    }
}
