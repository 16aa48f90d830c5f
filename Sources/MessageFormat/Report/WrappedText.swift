/// Lines broken at spaces, so that they suit both people and the limits of RFC 5322 §2.1.1.
enum WrappedText {
    /// Breaks a line before it passes 76 characters where it can; every line but the first is indented.
    ///
    /// A word longer than 200 characters is cut, so that no line passes 998 octets whatever its characters are.
    static func wrap(_ line: String, indent: String) -> [String] {
        var lines: [String] = []
        var current = ""
        for word in line.split(separator: " ", omittingEmptySubsequences: true).flatMap(pieces) {
            if !current.isEmpty, current.count + 1 + word.count > 76 {
                lines.append(current)
                current = indent + word
            } else {
                current += current.isEmpty ? word : " " + word
            }
        }
        lines.append(current)
        return lines
    }

    private static func pieces(_ word: Substring) -> [String] {
        var rest = word.unicodeScalars[...]
        var pieces: [String] = []
        while rest.count > 200 {
            pieces.append(String(rest.prefix(200)))
            rest = rest.dropFirst(200)
        }
        return pieces + [String(rest)]
    }
}

/// The xtext encoding of ESMTP parameters (RFC 3461 §4).
package enum XText {
    /// Decodes `+XX`; what is not valid stays as it is.
    package static func decode(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "+"), index + 2 < bytes.count, let high = hexValue(bytes[index + 1]),
                let low = hexValue(bytes[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
