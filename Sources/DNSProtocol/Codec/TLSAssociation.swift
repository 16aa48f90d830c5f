/// What a TLSA record says of a server's certificate (RFC 6698 §2.1).
package struct TLSAssociation: Hashable, Sendable, CustomStringConvertible {
    /// 0 to 255; mail uses 2 (DANE-TA) and 3 (DANE-EE), others are unusable there (RFC 7672 §3.1.3).
    package var usage: UInt8
    /// 0: the whole certificate, 1: its public key.
    package var selector: UInt8
    /// 0: the data itself, 1: its SHA-256, 2: its SHA-512.
    package var matchingType: UInt8
    package var data: [UInt8]

    package init(usage: UInt8, selector: UInt8, matchingType: UInt8, data: [UInt8]) {
        self.usage = usage
        self.selector = selector
        self.matchingType = matchingType
        self.data = data
    }

    /// As zone files write it (RFC 6698 §2.2): `3 1 1 8cb0...`.
    package var description: String {
        let digits = Array("0123456789abcdef")
        let text = self.data.map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
        return "\(self.usage) \(self.selector) \(self.matchingType) \(text)"
    }
}
