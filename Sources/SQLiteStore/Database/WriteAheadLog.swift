import Delivery
import Foundation

/// How far the write-ahead log had come at a commit: which log it was, and how many pages of it were committed.
struct LogMark: Hashable, Sendable {
    /// The two salts of the log's header; they change whenever the log begins anew.
    let salt: UInt64
    let frames: Int
}

/// What a write-ahead log holds, read as SQLite will when it recovers it, without SQLite and without a change.
///
/// SQLite takes a log up to its last good commit and passes over the rest in silence, which is right for what a crash
/// left half-written and wrong for what was damaged later. Only a memory of how far it had come can tell the two apart.
struct WriteAheadLog {
    private static let headerSize = 32
    private static let frameHeaderSize = 24

    /// The salts of the header; nil when there is no log, or an empty one.
    private(set) var salt: UInt64?
    /// Octets are there that are no header of a log.
    private(set) var hasForeignHeader = false
    /// Pages up to the last good commit.
    private(set) var frames = 0

    /// Reads the log at a path; one that is not there is empty.
    init(_ path: String) throws(StoreFailure) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            guard errno == ENOENT else {
                throw fileFailure("cannot read \(path)")
            }
            return
        }
        defer { close(descriptor) }
        let header = octets(descriptor, at: 0, count: Self.headerSize)
        guard header.count == Self.headerSize, header.contains(where: { $0 != 0 }) else {
            return
        }
        var sums = Checksum(isBigEndian: header[3] & 1 == 1)
        sums.add(header[..<24])
        let magic = number(header, 0)
        guard magic & ~1 == 0x377F_0682, sums.first == number(header, 24), sums.second == number(header, 28) else {
            self.hasForeignHeader = true
            return
        }
        self.salt = UInt64(number(header, 16)) << 32 | UInt64(number(header, 20))
        self.countFrames(descriptor, pageSize: Int(number(header, 8)), header: header, sums)
    }

    /// The salts of the log at a path; nil when there is none.
    static func salt(_ path: String) -> UInt64? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            return nil
        }
        defer { close(descriptor) }
        let header = octets(descriptor, at: 0, count: self.headerSize)
        guard header.count == self.headerSize else {
            return nil
        }
        return UInt64(number(header, 16)) << 32 | UInt64(number(header, 20))
    }

    /// What is missing of the commits that a run remembers; nil when nothing is.
    ///
    /// Nothing can be said, and is, when the log began anew after the mark: by then all of it was in the database.
    func damage(since mark: LogMark?) -> String? {
        guard let mark, mark.frames > 0 else {
            return nil
        }
        if self.hasForeignHeader {
            return "it does not begin like one"
        }
        guard self.salt == mark.salt, self.frames < mark.frames else {
            return nil
        }
        return "only \(self.frames) of the \(mark.frames) pages that had been committed to it can be read"
    }

    private mutating func countFrames(_ descriptor: Int32, pageSize: Int, header: [UInt8], _ sums: Checksum) {
        guard (512...65_536).contains(pageSize) else {
            self.hasForeignHeader = true
            return
        }
        var sums = sums
        let size = Self.frameHeaderSize + pageSize
        var count = 0
        while true {
            let frame = octets(descriptor, at: Self.headerSize + count * size, count: size)
            guard frame.count == size, frame[8..<16].elementsEqual(header[16..<24]) else {
                return
            }
            sums.add(frame[..<8])
            sums.add(frame[Self.frameHeaderSize...])
            guard sums.first == number(frame, 16), sums.second == number(frame, 20) else {
                return
            }
            count += 1
            // Not 0 in the last frame of a commit: the size of the database after it.
            if number(frame, 4) != 0 {
                self.frames = count
            }
        }
    }
}

/// The running sums that chain the frames of a log (section 4.2 of SQLite's file format).
private struct Checksum {
    private(set) var first: UInt32 = 0
    private(set) var second: UInt32 = 0
    let isBigEndian: Bool

    init(isBigEndian: Bool) {
        self.isBigEndian = isBigEndian
    }

    mutating func add(_ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { bytes in
            for offset in stride(from: 0, to: bytes.count & ~7, by: 8) {
                let low = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                let high = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                self.first &+= (self.isBigEndian ? low.bigEndian : low.littleEndian) &+ self.second
                self.second &+= (self.isBigEndian ? high.bigEndian : high.littleEndian) &+ self.first
            }
        }
    }
}

/// Four octets, the most significant first.
private func number(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    bytes[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
}

/// As many octets as there are, up to `count`.
private func octets(_ descriptor: Int32, at offset: Int, count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
        while filled < count {
            let more = pread(
                descriptor,
                buffer.baseAddress?.advanced(by: filled),
                count - filled,
                off_t(offset + filled)
            )
            guard more > 0 else {
                return
            }
            filled += more
        }
    }
}
