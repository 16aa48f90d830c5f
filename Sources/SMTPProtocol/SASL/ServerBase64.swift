/// Base64 as SASL exchanges carry it (RFC 4648 §4): strict alphabet, strict padding, no line ends.
enum ServerBase64 {
    /// The octets behind the text; nil for anything that is not exactly base64.
    static func decode(_ text: String) -> [UInt8]? {
        let octets = Array(text.utf8)
        guard octets.count.isMultiple(of: 4) else {
            return nil
        }
        let padding = octets.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        guard padding <= 2 else {
            return nil
        }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(octets.count / 4 * 3)
        var bits: UInt32 = 0
        var count = 0
        for octet in octets.dropLast(padding) {
            guard let value = self.value(of: octet) else {
                return nil
            }
            bits = bits << 6 | value
            count += 6
            if count >= 8 {
                count -= 8
                decoded.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return decoded
    }

    private static func value(of octet: UInt8) -> UInt32? {
        switch octet {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(octet - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(octet - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(octet - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
