/// The quoted-printable transfer encoding (RFC 2045 §6.7) and its variant for header words (RFC 2047 §4.2).
package enum QuotedPrintable {
    /// Decodes a body; an `=` that begins nothing stays as it is.
    package static func decode(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            if byte != UInt8(ascii: "=") {
                result.append(byte)
                index += 1
            } else if let value = octet(bytes, after: index) {
                result.append(value)
                index += 3
            } else if let next = endOfSoftBreak(bytes, after: index) {
                index = next
            } else {
                result.append(byte)
                index += 1
            }
        }
        return result
    }

    static func decodeWord(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        QuotedPrintable.decode(ArraySlice(bytes.map { $0 == UInt8(ascii: "_") ? 0x20 : $0 }))
    }

    private static func octet(_ bytes: ArraySlice<UInt8>, after index: Int) -> UInt8? {
        guard index + 2 < bytes.endIndex, let high = hexValue(bytes[index + 1]), let low = hexValue(bytes[index + 2])
        else {
            return nil
        }
        return high << 4 | low
    }

    /// Where the text goes on after `=`, white space and a line end.
    private static func endOfSoftBreak(_ bytes: ArraySlice<UInt8>, after index: Int) -> Int? {
        var end = index + 1
        while end < bytes.endIndex, bytes[end] == 0x20 || bytes[end] == 0x09 {
            end += 1
        }
        if end < bytes.endIndex, bytes[end] == 0x0D {
            end += 1
        }
        if end < bytes.endIndex, bytes[end] == 0x0A {
            return end + 1
        }
        return end == bytes.endIndex ? end : nil
    }
}

/// The value of a hexadecimal digit in either case.
func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
}
