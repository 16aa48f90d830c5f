/// An enhanced mail system status code such as `5.1.1` (RFC 3463, RFC 2034).
package struct EnhancedStatusCode: Hashable, Sendable, CustomStringConvertible {
    /// The first number: 2 success, 4 persistent transient failure, 5 permanent failure.
    package let statusClass: UInt8
    /// The second number, 0 to 999.
    package let subject: UInt16
    /// The third number, 0 to 999.
    package let detail: UInt16

    package init(_ statusClass: UInt8, _ subject: UInt16, _ detail: UInt16) {
        self.statusClass = statusClass
        self.subject = subject
        self.detail = detail
    }

    /// Reads `class.subject.detail`; nil for anything else, leading zeros and numbers over 999 included.
    package init?(_ text: some StringProtocol) {
        self.init(octets: Array(text.utf8)[...])
    }

    /// Reads the same from octets; a type of its own and no generic one, since it reads every reply of every server.
    package init?(octets: ArraySlice<UInt8>) {
        var rest = octets
        guard let statusClass = number(&rest), statusClass == 2 || statusClass == 4 || statusClass == 5,
            rest.popFirst() == UInt8(ascii: "."), let subject = number(&rest),
            rest.popFirst() == UInt8(ascii: "."), let detail = number(&rest), rest.isEmpty
        else {
            return nil
        }
        self.init(UInt8(statusClass), subject, detail)
    }

    /// The same subject and detail in another class, as when a permanent failure is retried all the same.
    package func withClass(_ statusClass: UInt8) -> EnhancedStatusCode {
        EnhancedStatusCode(statusClass, self.subject, self.detail)
    }

    package var description: String {
        String(unsafeUninitializedCapacity: 15) { octets in
            var text = FixedText(octets)
            text.write(self)
            return text.count
        }
    }
}

extension FixedText {
    /// The three numbers with their dots, in at most 15 octets.
    package mutating func write(_ code: EnhancedStatusCode) {
        self.write(UInt16(code.statusClass))
        self.write(".")
        self.write(code.subject)
        self.write(".")
        self.write(code.detail)
    }
}

/// Takes a number of one to three digits off the front; nil where there is none, or one with a leading zero.
private func number(_ rest: inout ArraySlice<UInt8>) -> UInt16? {
    guard let first = rest.popFirst(), (0x30...0x39).contains(first) else {
        return nil
    }
    var number = UInt16(first - 0x30)
    var digits = 1
    while let next = rest.first, (0x30...0x39).contains(next) {
        guard digits < 3, number > 0 else {
            return nil
        }
        number = number * 10 + UInt16(next - 0x30)
        digits += 1
        rest.removeFirst()
    }
    return number
}
