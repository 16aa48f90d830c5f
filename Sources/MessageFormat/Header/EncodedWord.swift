/// Words of a header field that carry other characters than ASCII (RFC 2047).
package enum EncodedWord {
    /// Replaces every encoded word that can be decoded, and leaves the others as they stand.
    ///
    /// White space between two adjacent encoded words is dropped (§6.2). Words of one charset are joined before they
    /// are decoded, since some writers split a character between two words.
    package static func decode(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "?")) else {
            return text
        }
        let bytes = Array(text.utf8)
        var result = ""
        var plain = 0
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "="), let first = Token(bytes, at: index)
            else {
                index += 1
                continue
            }
            let (decoded, end) = decodeRun(bytes, first)
            guard let decoded else {
                // The whole run is left behind: to try each of its words again would take the square of the time.
                index = end
                continue
            }
            result += String(decoding: bytes[plain..<index], as: UTF8.self)
            result += decoded
            index = end
            plain = end
            if let next = startOfNextWord(bytes, from: end) {
                index = next
                plain = next
            }
        }
        return result + String(decoding: bytes[plain...], as: UTF8.self)
    }

    /// Encodes text that is not ASCII as words of at most 75 characters, separated by a space (base64, UTF-8).
    package static func encode(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 >= 0x80 || $0 < 0x20 || $0 == 0x7F }) else {
            return text
        }
        var words: [String] = []
        var chunk: [UInt8] = []
        for scalar in text.unicodeScalars {
            let octets = Array(String(scalar).utf8)
            if chunk.count + octets.count > 45 {
                words.append("=?utf-8?b?\(Base64.encode(chunk))?=")
                chunk = []
            }
            chunk += octets
        }
        words.append("=?utf-8?b?\(Base64.encode(chunk))?=")
        return words.joined(separator: " ")
    }

    /// Decodes a word and all that follow it directly in the same charset; no text when the charset is unknown.
    private static func decodeRun(_ bytes: [UInt8], _ first: Token) -> (String?, end: Int) {
        var octets = first.octets
        var end = first.end
        while let start = startOfNextWord(bytes, from: end), let next = Token(bytes, at: start),
            next.charset == first.charset
        {
            octets += next.octets
            end = next.end
        }
        guard let text = Charset.decode(octets, label: first.charset) else {
            return (nil, end)
        }
        // A word may hide a line end, which must not reach a log line or another header field.
        return (String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 ? " " : $0 })), end)
    }

    /// Where the next encoded word begins, if only white space lies before it.
    private static func startOfNextWord(_ bytes: [UInt8], from end: Int) -> Int? {
        var index = end
        while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 {
            index += 1
        }
        return index > end && Token(bytes, at: index) != nil ? index : nil
    }

    private struct Token {
        let charset: String
        let octets: [UInt8]
        let end: Int

        /// Reads `=?charset?b?text?=`; §2 allows 75 characters, which many writers pass: 1,000 are read.
        init?(_ bytes: [UInt8], at start: Int) {
            guard start + 6 < bytes.count, bytes[start] == UInt8(ascii: "="), bytes[start + 1] == UInt8(ascii: "?")
            else {
                return nil
            }
            let mark = UInt8(ascii: "?")
            let window = bytes[(start + 2)..<min(bytes.count, start + 1_000)]
            guard let charsetEnd = window.firstIndex(of: mark), charsetEnd > start + 2,
                charsetEnd + 2 < window.endIndex,
                bytes[charsetEnd + 2] == mark
            else {
                return nil
            }
            let text = window[(charsetEnd + 3)...]
            guard let textEnd = text.firstIndex(of: mark), textEnd + 1 < bytes.count,
                bytes[textEnd + 1] == UInt8(ascii: "="), text[..<textEnd].allSatisfy({ $0 > 0x20 })
            else {
                return nil
            }
            switch lowercased(bytes[charsetEnd + 1]) {
            case UInt8(ascii: "b"): self.octets = Base64.decode(text[..<textEnd])
            case UInt8(ascii: "q"): self.octets = QuotedPrintable.decodeWord(text[..<textEnd])
            default: return nil
            }
            let label = window[..<charsetEnd].prefix { $0 != UInt8(ascii: "*") }
            self.charset = String(decoding: label, as: UTF8.self).lowercased()
            self.end = textEnd + 2
        }
    }
}
