/// The answer to an SMTP command (RFC 5321 §4.2), with its enhanced status code apart from its text (RFC 2034).
package struct Reply: Hashable, Sendable, CustomStringConvertible {
    /// The three digits, 200 to 599.
    package let code: UInt16
    /// Absent from greetings, replies to EHLO and 3yz replies, which must not carry one (RFC 2034 §4).
    package let enhanced: EnhancedStatusCode?
    /// One or more lines of text without line ends, codes and control characters.
    package let lines: [String]

    package init(_ code: UInt16, _ enhanced: EnhancedStatusCode? = nil, lines: [String]) {
        self.code = code
        self.enhanced = enhanced
        self.lines = lines.isEmpty ? [""] : lines
    }

    package init(_ code: UInt16, _ enhanced: EnhancedStatusCode? = nil, _ text: String) {
        self.init(code, enhanced, lines: [text])
    }

    package var isPositive: Bool {
        (200..<300).contains(self.code)
    }

    package var isTransientFailure: Bool {
        (400..<500).contains(self.code)
    }

    package var isPermanentFailure: Bool {
        (500..<600).contains(self.code)
    }

    /// The lines as one, for logs and records.
    package var text: String {
        self.lines.count == 1 ? self.lines[0] : self.lines.joined(separator: " ")
    }

    /// Code, enhanced code and text on one line, as people quote replies: `550 5.1.1 no such user`.
    package var description: String {
        let capacity = self.lines.reduce(5 + 1 + 15) { $0 + 1 + $1.utf8.count }
        return String(unsafeUninitializedCapacity: capacity) { octets in
            var text = FixedText(octets)
            text.write(self.code)
            if let enhanced = self.enhanced {
                text.write(" ")
                text.write(enhanced)
            }
            for line in self.lines {
                text.write(" ")
                text.write(text: line)
            }
            return text.count
        }
    }
}
