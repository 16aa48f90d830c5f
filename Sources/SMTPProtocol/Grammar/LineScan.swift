/// The index of the first octet at or behind `start` that is more than text of ordinary lines, or the count.
///
/// That is a CR, an LF or a NUL, except for the CRLF between a line and one that begins with neither a dot nor a control
/// character: most content is passed over in one go. `isEightBit` becomes true if an octet over 127 stands before that index.
func endOfOrdinaryLines(in octets: UnsafeRawBufferPointer, from start: Int, isEightBit: inout Bool) -> Int {
    var index = start
    var seen: UInt64 = 0
    defer { isEightBit = isEightBit || seen & highBits != 0 }
    while true {
        index = firstControl(in: octets, from: index, seen: &seen)
        guard index < octets.count else {
            return index
        }
        switch octets[index] {
        case 0x0D where index + 2 < octets.count && octets[index + 1] == 0x0A && beginsOrdinaryLine(octets[index + 2]):
            index += 2
        case 0x0D, 0x0A, 0:
            return index
        default:
            index += 1
        }
    }
}

private func beginsOrdinaryLine(_ octet: UInt8) -> Bool {
    octet >= 0x0E && octet != UInt8(ascii: ".")
}

/// The index of the first octet below 0x0E (CR, LF, NUL and their kin) at or behind `start`, or the count.
///
/// Looks at 32 octets at a time, then at eight: content is scanned whole, on its way in and on its way out. `seen` gathers
/// the bits of all octets before that index, in any of its own octets. Inlined: it is called for every line.
@inline(__always)
func firstControl(in octets: UnsafeRawBufferPointer, from start: Int, seen: inout UInt64) -> Int {
    var index = start
    var seenInBlocks = SIMD4<UInt64>(repeating: 0)
    let lastBlock = octets.count - 32
    while index <= lastBlock {
        let block = octets.loadUnaligned(fromByteOffset: index, as: SIMD4<UInt64>.self)
        let low = (block &- SIMD4(repeating: shiftOut)) & ~block
        guard (low[0] | low[1] | low[2] | low[3]) & highBits == 0 else {
            break
        }
        seenInBlocks |= block
        index += 32
    }
    seen |= seenInBlocks[0] | seenInBlocks[1] | seenInBlocks[2] | seenInBlocks[3]
    while octets.count - index >= 8 {
        let word = UInt64(littleEndian: octets.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        // A high bit for every octet below 0x0E; borrows spoil only octets behind the first, which is exact.
        let low = (word &- shiftOut) & ~word & highBits
        guard low == 0 else {
            let offset = low.trailingZeroBitCount / 8
            seen |= word & ((1 << UInt64(offset * 8)) - 1)
            return index + offset
        }
        seen |= word
        index += 8
    }
    while index < octets.count, octets[index] >= 0x0E {
        seen |= UInt64(octets[index])
        index += 1
    }
    return index
}

private let highBits: UInt64 = 0x8080_8080_8080_8080
/// The first octet that is none of those looked for, eight times.
private let shiftOut: UInt64 = 0x0E0E_0E0E_0E0E_0E0E
