/// The base64 transfer encoding (RFC 2045 §6.8).
package enum Base64 {
    /// Decodes what can be decoded: other characters are skipped, and the data ends at the first `=`.
    package static func decode(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count / 4 * 3 + 3)
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            let value = decodingTable[Int(byte)]
            if value == 0xFF {
                if byte == UInt8(ascii: "=") {
                    break
                }
                continue
            }
            bits = bits << 6 | UInt32(value)
            count += 1
            if count == 4 {
                result.append(UInt8(truncatingIfNeeded: bits >> 16))
                result.append(UInt8(truncatingIfNeeded: bits >> 8))
                result.append(UInt8(truncatingIfNeeded: bits))
                count = 0
            }
        }
        if count == 3 {
            result.append(UInt8(truncatingIfNeeded: bits >> 10))
            result.append(UInt8(truncatingIfNeeded: bits >> 2))
        } else if count == 2 {
            result.append(UInt8(truncatingIfNeeded: bits >> 4))
        }
        return result
    }

    /// Encodes on one line.
    package static func encode(_ bytes: some Collection<UInt8>) -> String {
        var result: [UInt8] = []
        result.reserveCapacity((bytes.count + 2) / 3 * 4)
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 1
            if count == 3 {
                for shift in [18, 12, 6, 0] as [UInt32] {
                    result.append(alphabet[Int(bits >> shift & 63)])
                }
                (bits, count) = (0, 0)
            }
        }
        if count > 0 {
            bits <<= UInt32(8 * (3 - count))
            for shift in ([18, 12, 6] as [UInt32]).prefix(count + 1) {
                result.append(alphabet[Int(bits >> shift & 63)])
            }
            result += Array(repeating: UInt8(ascii: "="), count: 3 - count)
        }
        return String(decoding: result, as: UTF8.self)
    }
}

private let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

/// The value of each octet, 0xFF for those outside the alphabet.
private let decodingTable: [UInt8] = {
    var table = Array(repeating: UInt8(0xFF), count: 256)
    for (value, byte) in alphabet.enumerated() {
        table[Int(byte)] = UInt8(value)
    }
    return table
}()
