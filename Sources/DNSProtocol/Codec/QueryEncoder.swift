/// Writes queries: one question, recursion desired, with or without EDNS.
package enum QueryEncoder {
    /// The largest UDP answer that we ask for; fits every path without fragments (DNS flag day 2020).
    package static let payloadSize: UInt16 = 1_232

    /// Encodes a query.
    ///
    /// - Parameters:
    ///   - question: What is asked; its name is written in the case in which it stands.
    ///   - id: Chosen at random by the caller, zero for DNS over HTTPS (RFC 8484 §4.1).
    ///   - edns: Whether an OPT record is added (RFC 6891).
    /// - Returns: The octets of the message, without the length that TCP puts before it.
    package static func encode(_ question: Question, id: UInt16, edns: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        // RD and AD: recursion is wanted, and the validator's word is understood (RFC 6840 §5.7).
        for number: UInt16 in [id, 0x0120, 1, 0, 0, edns ? 1 : 0] {
            bytes.write(number)
        }
        for label in question.name.labels {
            bytes.append(UInt8(label.count))
            bytes += label
        }
        bytes.append(0)
        bytes.write(question.type.rawValue)
        bytes.write(1)
        if edns {
            bytes.append(0)
            bytes.write(RecordType.opt.rawValue)
            bytes.write(self.payloadSize)
            bytes += [0, 0, 0, 0, 0, 0]
        }
        return bytes
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
