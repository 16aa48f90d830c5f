/// Writes queries: one question, recursion desired, with or without EDNS.
package enum QueryEncoder {
    /// The largest UDP answer that we ask for; fits every path without fragments (DNS flag day 2020).
    package static let payloadSize: UInt16 = 1_232

    /// What a query asks for beside its question.
    package struct Options: Hashable, Sendable {
        /// Whether an OPT record is added (RFC 6891).
        package var edns = true
        /// Whether what does not validate is wanted, too (RFC 4035 §3.2.2).
        package var checkingDisabled = false
        /// Whether the query is filled up to a block of 128 octets, so that its length tells nothing (RFC 8467 §4.1).
        package var isPadded = false

        package init(edns: Bool = true, checkingDisabled: Bool = false, isPadded: Bool = false) {
            self.edns = edns
            self.checkingDisabled = checkingDisabled
            self.isPadded = isPadded
        }
    }

    private static let paddingBlock = 128
    private static let paddingOption: UInt16 = 12

    /// Encodes a query.
    ///
    /// - Parameters:
    ///   - question: What is asked; its name is written in the case in which it stands.
    ///   - id: Chosen at random by the caller, zero for DNS over HTTPS (RFC 8484 §4.1).
    ///   - options: Whether EDNS is used, and what else is asked for.
    /// - Returns: The octets of the message, without the length that TCP puts before it.
    package static func encode(_ question: Question, id: UInt16, _ options: Options = Options()) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(self.paddingBlock)
        // RD and AD: recursion is wanted, and the validator's word is understood (RFC 6840 §5.7).
        let flags: UInt16 = 0x0120 | (options.checkingDisabled ? 0x0010 : 0)
        for number: UInt16 in [id, flags, 1, 0, 0, options.edns ? 1 : 0] {
            bytes.write(number)
        }
        for label in question.name.labels {
            bytes.append(UInt8(label.count))
            bytes += label
        }
        bytes.append(0)
        bytes.write(question.type.rawValue)
        bytes.write(1)
        if options.edns {
            bytes.append(0)
            bytes.write(RecordType.opt.rawValue)
            bytes.write(self.payloadSize)
            bytes += [0, 0, 0, 0]
            self.finish(&bytes, isPadded: options.isPadded)
        }
        return bytes
    }

    /// Writes the options of the OPT record, with their length before them.
    private static func finish(_ bytes: inout [UInt8], isPadded: Bool) {
        guard isPadded else {
            bytes.write(0)
            return
        }
        let length = bytes.count + 6
        let padding = (self.paddingBlock - length % self.paddingBlock) % self.paddingBlock
        bytes.write(UInt16(4 + padding))
        bytes.write(self.paddingOption)
        bytes.write(UInt16(padding))
        bytes += Array(repeating: 0, count: padding)
    }

    /// Flips letters of a name to upper case by the bits of `chance`, which an answer must repeat (0x20 encoding).
    package static func mixCase(_ name: DomainName, chance: UInt64) -> DomainName {
        var bits = chance
        let labels = name.labels.map { label in
            label.map { byte -> UInt8 in
                let letter = byte | 0x20
                guard (0x61...0x7A).contains(letter) else {
                    return byte
                }
                defer { bits = bits >> 1 | bits << 63 }
                return bits & 1 == 0 ? letter : letter & 0xDF
            }
        }
        return DomainName(labels: labels) ?? name
    }
}

extension [UInt8] {
    fileprivate mutating func write(_ number: UInt16) {
        self.append(UInt8(truncatingIfNeeded: number >> 8))
        self.append(UInt8(truncatingIfNeeded: number))
    }
}
