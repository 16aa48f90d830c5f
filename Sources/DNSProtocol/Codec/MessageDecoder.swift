import MailModel

/// Reads DNS messages from octets that anybody may have sent: bounded in every direction, and no input traps.
package struct MessageDecoder {
    /// The most records that are read of one message; 1,000 MX records are no honest answer.
    package static let recordLimit = 2_000
    /// The most compression pointers that one name may follow.
    private static let pointerLimit = 64
    private static let extendedErrorOption: UInt16 = 15
    private static let extendedErrorLimit = 8

    private let bytes: [UInt8]
    private var position = 0

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Decodes a whole message; octets behind it are ignored.
    package static func decode(_ bytes: [UInt8]) throws(DNSFormatError) -> DNSMessage {
        var decoder = MessageDecoder(bytes)
        return try decoder.message()
    }

    private mutating func message() throws(DNSFormatError) -> DNSMessage {
        let id = try self.uint16()
        let flags = try self.uint16()
        let counts = try (self.uint16(), self.uint16(), self.uint16(), self.uint16())
        guard Int(counts.1) + Int(counts.2) + Int(counts.3) <= Self.recordLimit, counts.0 <= 4 else {
            throw .tooManyRecords
        }
        var message = DNSMessage(
            id: id,
            isResponse: flags & 0x8000 != 0,
            opcode: UInt8(flags >> 11 & 0xF),
            isAuthoritative: flags & 0x0400 != 0,
            isTruncated: flags & 0x0200 != 0,
            recursionAvailable: flags & 0x0080 != 0,
            isAuthenticated: flags & 0x0020 != 0,
            code: ResponseCode(rawValue: flags & 0xF),
            questions: [],
            answers: [],
            authorities: [],
            hasEDNS: false
        )
        for _ in 0..<counts.0 {
            message.questions.append(try self.question())
        }
        do {
            try self.records(of: counts, into: &message)
        } catch {
            // A truncated message may end anywhere (RFC 2181 §9); it only says "ask again over TCP".
            guard message.isTruncated else {
                throw error
            }
        }
        return message
    }

    private mutating func records(
        of counts: (UInt16, UInt16, UInt16, UInt16),
        into message: inout DNSMessage
    ) throws(DNSFormatError) {
        for _ in 0..<counts.1 {
            message.answers.append(try self.record().record)
        }
        for _ in 0..<counts.2 {
            message.authorities.append(try self.record().record)
        }
        for _ in 0..<counts.3 {
            let (record, _) = try self.record()
            if record.type == .opt {
                message.hasEDNS = true
                // The upper eight bits of the response code travel in the TTL of the OPT record (RFC 6891 §6.1.3).
                let upper = UInt16(truncatingIfNeeded: record.timeToLive >> 24)
                message.code = ResponseCode(rawValue: upper << 4 | message.code.rawValue)
                if case .raw(let options) = record.data {
                    message.extendedErrors = Self.extendedErrors(in: options)
                }
            }
        }
    }

    /// The reasons among the options of an OPT record (RFC 8914 §2); options that do not fit end the list.
    private static func extendedErrors(in options: [UInt8]) -> [ExtendedError] {
        var errors: [ExtendedError] = []
        var rest = options[...]
        while rest.count >= 4, errors.count < Self.extendedErrorLimit {
            let header = rest.prefix(4).map(UInt16.init)
            let length = Int(header[2] << 8 | header[3])
            rest = rest.dropFirst(4)
            guard rest.count >= length else {
                break
            }
            let value = rest.prefix(length)
            if header[0] << 8 | header[1] == Self.extendedErrorOption, length >= 2 {
                errors.append(ExtendedError(rawValue: value.prefix(2).reduce(0) { $0 << 8 | UInt16($1) }))
            }
            rest = rest.dropFirst(length)
        }
        return errors
    }

    private mutating func question() throws(DNSFormatError) -> Question {
        let name = try self.name()
        let type = RecordType(rawValue: try self.uint16())
        _ = try self.uint16()
        return Question(type, name)
    }

    private mutating func record() throws(DNSFormatError) -> (record: ResourceRecord, recordClass: UInt16) {
        let name = try self.name()
        let type = RecordType(rawValue: try self.uint16())
        let recordClass = try self.uint16()
        let timeToLive = try self.uint32()
        let length = Int(try self.uint16())
        guard self.bytes.count - self.position >= length else {
            throw .tooShort
        }
        let end = self.position + length
        let data = recordClass == 1 ? try self.data(of: type, end: end) : .raw(Array(self.bytes[self.position..<end]))
        self.position = end
        let isNegative = type != .opt && timeToLive > 0x7FFF_FFFF
        let record = ResourceRecord(name: name, type: type, timeToLive: isNegative ? 0 : timeToLive, data: data)
        return (record, recordClass)
    }

    private mutating func data(of type: RecordType, end: Int) throws(DNSFormatError) -> RecordData {
        let data: RecordData
        switch type {
        case .a, .aaaa:
            guard let address = IPAddress(octets: self.bytes[self.position..<end]), address.isIPv6 == (type == .aaaa)
            else {
                throw .badRecord(type)
            }
            return .address(address)
        case .mx:
            data = .mailExchanger(preference: try self.uint16(), try self.name())
        case .cname, .ns, .ptr:
            data = .name(try self.name())
        case .soa:
            _ = try (self.name(), self.name())
            _ = try (self.uint32(), self.uint32(), self.uint32(), self.uint32())
            data = .startOfAuthority(minimum: try self.uint32())
        case .txt:
            return .text(try self.strings(end: end))
        case .tlsa:
            guard end - self.position > 3 else {
                throw .badRecord(type)
            }
            return .tlsAssociation(
                TLSAssociation(
                    usage: self.bytes[self.position],
                    selector: self.bytes[self.position + 1],
                    matchingType: self.bytes[self.position + 2],
                    data: Array(self.bytes[(self.position + 3)..<end])
                )
            )
        default:
            return .raw(Array(self.bytes[self.position..<end]))
        }
        guard self.position == end else {
            throw .badRecord(type)
        }
        return data
    }

    private mutating func strings(end: Int) throws(DNSFormatError) -> [[UInt8]] {
        var strings: [[UInt8]] = []
        while self.position < end {
            let length = Int(self.bytes[self.position])
            guard self.position + 1 + length <= end else {
                throw .badRecord(.txt)
            }
            strings.append(Array(self.bytes[(self.position + 1)..<(self.position + 1 + length)]))
            self.position += 1 + length
        }
        return strings
    }

    /// A name, following compression pointers strictly backwards (RFC 1035 §4.1.4).
    private mutating func name() throws(DNSFormatError) -> DomainName {
        var labels: [[UInt8]] = []
        var cursor = self.position
        var end: Int?
        var lowest = self.position
        var pointers = 0
        while true {
            guard cursor < self.bytes.count else {
                throw .tooShort
            }
            let length = Int(self.bytes[cursor])
            if length == 0 {
                self.position = end ?? cursor + 1
                break
            } else if length < 0x40 {
                guard cursor + 1 + length <= self.bytes.count, labels.count < 128 else {
                    throw .badName
                }
                labels.append(Array(self.bytes[(cursor + 1)..<(cursor + 1 + length)]))
                cursor += 1 + length
            } else if length >= 0xC0 {
                guard cursor + 1 < self.bytes.count, pointers < Self.pointerLimit else {
                    throw .badName
                }
                let target = (length & 0x3F) << 8 | Int(self.bytes[cursor + 1])
                guard target < lowest else {
                    throw .badName
                }
                end = end ?? cursor + 2
                pointers += 1
                lowest = target
                cursor = target
            } else {
                throw .badName
            }
        }
        guard let name = DomainName(labels: labels) else {
            throw .badName
        }
        return name
    }

    private mutating func uint16() throws(DNSFormatError) -> UInt16 {
        guard self.bytes.count - self.position >= 2 else {
            throw .tooShort
        }
        defer { self.position += 2 }
        return UInt16(self.bytes[self.position]) << 8 | UInt16(self.bytes[self.position + 1])
    }

    private mutating func uint32() throws(DNSFormatError) -> UInt32 {
        UInt32(try self.uint16()) << 16 | UInt32(try self.uint16())
    }
}
