/// The name of a message in this gateway's queue: in replies, Received fields, logs, the store and `hikyaku trace`.
///
/// A number that rises with time, written in Crockford's base 32 as 12 characters that sort as the numbers do.
package struct QueueID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Positive and below 2^60, so that it fits 12 characters.
    package let number: Int64

    /// Wraps a number read from the store; only its lowest 60 bits are kept.
    package init(number: Int64) {
        self.number = number & 0x0FFF_FFFF_FFFF_FFFF
    }

    /// Reads the 12 characters, in either case, with Crockford's O, I and L understood as 0, 1 and 1.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 12 else {
            return nil
        }
        var number: Int64 = 0
        for byte in text.utf8 {
            guard let value = crockfordValue(of: byte) else {
                return nil
            }
            number = number << 5 | Int64(value)
        }
        self.number = number
    }

    package static func < (left: QueueID, right: QueueID) -> Bool {
        left.number < right.number
    }

    /// The first identifier that may be given out at a moment: milliseconds since the epoch, then 14 bits of sequence.
    package static func first(at moment: Timestamp) -> QueueID {
        QueueID(number: max(0, moment.microseconds / 1_000) << 14)
    }

    /// The identifier after this one.
    package var next: QueueID {
        QueueID(number: self.number &+ 1)
    }

    package var description: String {
        String(unsafeUninitializedCapacity: 12) { text in
            for index in 0..<12 {
                text[index] = crockfordDigits[Int(self.number >> Int64(55 - 5 * index)) & 31]
            }
            return 12
        }
    }
}

private let crockfordDigits = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

private func crockfordValue(of byte: UInt8) -> Int? {
    let upper = (0x61...0x7A).contains(byte) ? byte - 0x20 : byte
    switch upper {
    case UInt8(ascii: "O"): return 0
    case UInt8(ascii: "I"), UInt8(ascii: "L"): return 1
    default: return crockfordDigits.firstIndex(of: upper)
    }
}
