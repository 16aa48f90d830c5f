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
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].count == 1 else {
            return nil
        }
        var numbers: [UInt16] = []
        for part in parts {
            guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }),
                part.count == 1 || part.first != 0x30
            else {
                return nil
            }
            numbers.append(part.reduce(0) { $0 * 10 + UInt16($1 - 0x30) })
        }
        guard [2, 4, 5].contains(numbers[0]) else {
            return nil
        }
        self.init(UInt8(numbers[0]), numbers[1], numbers[2])
    }

    /// The same subject and detail in another class, as when a permanent failure is retried all the same.
    package func withClass(_ statusClass: UInt8) -> EnhancedStatusCode {
        EnhancedStatusCode(statusClass, self.subject, self.detail)
    }

    package var description: String {
        "\(self.statusClass).\(self.subject).\(self.detail)"
    }
}
