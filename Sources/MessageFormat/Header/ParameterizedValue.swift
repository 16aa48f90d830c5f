/// A field body of a word and parameters, as in Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2231).
package struct ParameterizedValue: Hashable, Sendable {
    /// Parameters that are read from one field.
    package static let limit = 100

    /// In lower case, without parameters: `multipart/alternative`, `attachment`.
    package let value: String
    /// By names in lower case; continued and extended values joined and decoded.
    package let parameters: [String: String]

    package init(value: String, parameters: [String: String] = [:]) {
        self.value = value
        self.parameters = parameters
    }

    /// Reads an unfolded field body.
    package init(parsing unfolded: String) {
        var reader = Reader(bytes: Array(unfolded.utf8))
        self.value = reader.word().lowercased()
        var segments: [String: [Segment]] = [:]
        var count = 0
        while count < ParameterizedValue.limit, let (name, value) = reader.parameter() {
            let segment = Segment(name: name, value: value)
            segments[segment.name, default: []].append(segment)
            count += 1
        }
        self.parameters = segments.mapValues(joined)
    }

    private struct Reader {
        let bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) {
            self.bytes = bytes
        }

        /// Octets up to the next `;`, white space and comments left out.
        mutating func word() -> String {
            var word: [UInt8] = []
            while self.index < self.bytes.count, self.bytes[self.index] != UInt8(ascii: ";") {
                if self.bytes[self.index] == UInt8(ascii: "(") {
                    self.skipComment()
                    continue
                }
                if self.bytes[self.index] > 0x20 {
                    word.append(self.bytes[self.index])
                }
                self.index += 1
            }
            return String(decoding: word, as: UTF8.self)
        }

        /// The next `; name=value`; nil at the end.
        mutating func parameter() -> (name: String, value: [UInt8])? {
            while self.index < self.bytes.count {
                self.index += 1
                var name: [UInt8] = []
                while self.index < self.bytes.count, self.bytes[self.index] != UInt8(ascii: ";") {
                    let byte = self.bytes[self.index]
                    self.index += 1
                    if byte == UInt8(ascii: "=") {
                        return (String(decoding: name, as: UTF8.self).lowercased(), self.value())
                    }
                    if byte > 0x20 {
                        name.append(byte)
                    }
                }
            }
            return nil
        }

        private mutating func value() -> [UInt8] {
            while self.index < self.bytes.count, self.bytes[self.index] == 0x20 || self.bytes[self.index] == 0x09 {
                self.index += 1
            }
            var value: [UInt8] = []
            guard self.index < self.bytes.count, self.bytes[self.index] == UInt8(ascii: "\"") else {
                while self.index < self.bytes.count, self.bytes[self.index] != UInt8(ascii: ";") {
                    value.append(self.bytes[self.index])
                    self.index += 1
                }
                return Array(trimmed(value[...]))
            }
            self.index += 1
            while self.index < self.bytes.count, self.bytes[self.index] != UInt8(ascii: "\"") {
                if self.bytes[self.index] == UInt8(ascii: "\\"), self.index + 1 < self.bytes.count {
                    self.index += 1
                }
                value.append(self.bytes[self.index])
                self.index += 1
            }
            // What stands between the closing quote and the next parameter means nothing.
            while self.index < self.bytes.count, self.bytes[self.index] != UInt8(ascii: ";") {
                self.index += 1
            }
            return value
        }

        private mutating func skipComment() {
            var depth = 0
            while self.index < self.bytes.count {
                switch self.bytes[self.index] {
                case UInt8(ascii: "("): depth += 1
                case UInt8(ascii: ")"): depth -= 1
                default: break
                }
                self.index += 1
                if depth == 0 {
                    return
                }
            }
        }
    }
}

/// One piece of a parameter: `name`, `name*`, `name*2` or `name*2*` (RFC 2231 §3, §4).
private struct Segment {
    let name: String
    /// Nil for a parameter that is not continued.
    let position: Int?
    let isExtended: Bool
    let value: [UInt8]

    init(name: String, value: [UInt8]) {
        let parts = name.split(separator: "*", omittingEmptySubsequences: false)
        self.name = parts.first.map(String.init) ?? ""
        self.position = parts.count > 1 ? Int(parts[1]) : nil
        self.isExtended = parts.count > 1 && parts.last?.isEmpty == true
        self.value = value
    }
}

private func joined(_ segments: [Segment]) -> String {
    // The extended form wins where a writer gives both for old readers (RFC 6266 §4.3 says so for HTTP).
    let continued = segments.filter { $0.position != nil }.sorted { ($0.position ?? 0) < ($1.position ?? 0) }
    let chosen =
        continued.isEmpty ? [segments.first(where: \.isExtended) ?? segments.first].compactMap { $0 } : continued
    guard let first = chosen.first else {
        return ""
    }
    guard first.isExtended else {
        let octets = chosen.flatMap { $0.isExtended ? percentDecoded($0.value[...]) : $0.value }
        // An encoded word is not allowed in a parameter, and yet many writers put file names so (RFC 2047 §5).
        return EncodedWord.decode(Charset.decodeUndeclared(octets[...]))
    }
    let quote = UInt8(ascii: "'")
    let parts = first.value.split(separator: quote, maxSplits: 2, omittingEmptySubsequences: false)
    let label = parts.count == 3 ? String(decoding: parts[0], as: UTF8.self) : "utf-8"
    var octets = percentDecoded(parts.count == 3 ? parts[2] : first.value[...])
    for segment in chosen.dropFirst() {
        octets += segment.isExtended ? percentDecoded(segment.value[...]) : segment.value
    }
    return Charset.decode(octets, label: label) ?? Charset.decodeUndeclared(octets[...])
}

/// Octets with each `%XX` replaced by what it stands for (RFC 3986 §2.1, RFC 2231 §4); what is no such code stays as it is.
func percentDecoded(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    var index = bytes.startIndex
    while index < bytes.endIndex {
        if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.endIndex, let high = hexValue(bytes[index + 1]),
            let low = hexValue(bytes[index + 2])
        {
            result.append(high << 4 | low)
            index += 3
        } else {
            result.append(bytes[index])
            index += 1
        }
    }
    return result
}
