/// The index of the first octet below 0x0E (CR, LF, NUL and their kin) at or behind `start`, or the count.
///
/// Looks at eight octets at a time: content is scanned whole, on its way in and on its way out. `seen` gathers the bits
/// of all octets before that index.
func firstControl(in octets: UnsafeRawBufferPointer, from start: Int, seen: inout UInt8) -> Int {
    let highBits: UInt64 = 0x8080_8080_8080_8080
    let belowShiftOut: UInt64 = 0x0E0E_0E0E_0E0E_0E0E
    var index = start
    var gathered: UInt64 = 0
    while octets.count - index >= 8 {
        let word = UInt64(littleEndian: octets.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        // A high bit for every octet below 0x0E; borrows spoil only octets behind the first, which is exact.
        let low = (word &- belowShiftOut) & ~word & highBits
        guard low == 0 else {
            let offset = low.trailingZeroBitCount / 8
            gathered |= word & ((1 << UInt64(offset * 8)) - 1)
            seen |= gathered.octetsTogether
            return index + offset
        }
        gathered |= word
        index += 8
    }
    while index < octets.count, octets[index] >= 0x0E {
        gathered |= UInt64(octets[index])
        index += 1
    }
    seen |= gathered.octetsTogether
    return index
}

extension UInt64 {
    /// The bits of its eight octets in one.
    fileprivate var octetsTogether: UInt8 {
        var bits = self | self >> 32
        bits |= bits >> 16
        bits |= bits >> 8
        return UInt8(truncatingIfNeeded: bits)
    }
}
