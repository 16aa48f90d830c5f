import struct NIOCore.ByteBuffer

/// One record of a queue file: a letter, and where its data lies.
struct QueueRecord: Hashable, Sendable {
    /// The letters of Postfix's `rec_type.h` that mean something here; the rest is passed over.
    enum Kind {
        static let size = UInt8(ascii: "C")
        static let time = UInt8(ascii: "T")
        static let creationTime = UInt8(ascii: "c")
        static let attribute = UInt8(ascii: "A")
        static let sender = UInt8(ascii: "S")
        static let recipient = UInt8(ascii: "R")
        static let originalRecipient = UInt8(ascii: "O")
        static let done = UInt8(ascii: "D")
        static let cancelled = UInt8(ascii: "/")
        static let redirect = UInt8(ascii: ">")
        static let content = UInt8(ascii: "M")
        static let line = UInt8(ascii: "N")
        /// A piece of a line that the next record goes on with; in the envelope the same letter names a filter.
        static let piece = UInt8(ascii: "L")
        static let extracted = UInt8(ascii: "X")
        static let pointer = UInt8(ascii: "p")
        static let padding = UInt8(ascii: "w")
        static let end = UInt8(ascii: "E")
    }

    let type: UInt8
    let offset: Int
    let data: Range<Int>
}

/// Reads the records of a queue file in the order that its pointers give them; never outside of it, and never for ever.
///
/// A record is one octet of type, its length in groups of seven bits with the lowest first, and its data. Pointers are
/// how Postfix edits a file in place: they lead to records that a mail filter changed or added, and back.
struct RecordReader {
    /// As many jumps back as Postfix itself follows.
    private static let backwardLimit = 10_000

    private let bytes: ByteBuffer
    private var position = 0
    private var jumpsBack = 0
    /// Octets that may still be read: jumps make a file longer than it is, and this much longer is enough.
    private var budget: Int

    /// Reads from the first readable octet.
    init(_ bytes: ByteBuffer) {
        // Offsets in pointers count from the beginning of the file.
        self.bytes = bytes.slice()
        let (budget, overflow) = bytes.readableBytes.multipliedReportingOverflow(by: 4)
        self.budget = overflow ? .max : budget
    }

    /// The next record that says something; nil at the end of the file.
    mutating func next() throws(QueueFileDamage) -> QueueRecord? {
        while let record = try self.readRecord() {
            switch record.type {
            case QueueRecord.Kind.pointer: try self.follow(record)
            case QueueRecord.Kind.padding: continue
            default: return record
            }
        }
        return nil
    }

    /// The octets of a record.
    func data(of record: QueueRecord) -> ByteBuffer {
        self.bytes.getSlice(at: record.data.lowerBound, length: record.data.count) ?? ByteBuffer()
    }

    /// The octets of a record as text; nil when they are not UTF-8.
    func text(of record: QueueRecord) -> String? {
        String(validating: self.data(of: record).readableBytesView, as: UTF8.self)
    }

    private mutating func readRecord() throws(QueueFileDamage) -> QueueRecord? {
        let offset = self.position
        guard let type = self.bytes.getInteger(at: offset, as: UInt8.self) else {
            return nil
        }
        var index = offset + 1
        var length = 0
        var shift = 0
        while true {
            guard let octet = self.bytes.getInteger(at: index, as: UInt8.self) else {
                throw .truncated
            }
            guard shift < 35 else {
                throw .badLength(at: offset)
            }
            length |= Int(octet & 0x7F) << shift
            shift += 7
            index += 1
            guard octet & 0x80 != 0 else {
                break
            }
        }
        guard length <= self.bytes.writerIndex - index else {
            throw .truncated
        }
        self.position = index + length
        self.budget -= self.position - offset
        guard self.budget >= 0 else {
            throw .badPointer(at: offset)
        }
        return QueueRecord(type: type, offset: offset, data: index..<(index + length))
    }

    /// Goes where a pointer points; 0 is a place kept for a pointer that was never needed.
    private mutating func follow(_ record: QueueRecord) throws(QueueFileDamage) {
        let digits = self.text(of: record).map { $0.drop { $0 == " " } }
        guard let target = digits.flatMap({ Int($0) }), (0..<self.bytes.writerIndex).contains(target) else {
            throw .badPointer(at: record.offset)
        }
        guard target > 0 else {
            return
        }
        if target < self.position {
            self.jumpsBack += 1
        }
        guard self.jumpsBack <= Self.backwardLimit else {
            throw .badPointer(at: record.offset)
        }
        self.position = target
    }
}
