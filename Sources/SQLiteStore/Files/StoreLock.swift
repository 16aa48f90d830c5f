import Delivery
import Foundation
import MailModel

/// What one run leaves for the next beside the database, so that the next one sees what went missing.
struct StoreMemory: Hashable, Sendable {
    /// What the last commit that carried one had committed; 0 when there was none.
    var generation: Int64 = 0
    /// Where the write-ahead log stood at the last commit; nil when it was closed, or unknown.
    var mark: LogMark?
    /// The run that wrote this.
    var epoch: Int64 = 0
    /// When that was, by both clocks.
    var time: StoreTime?

    fileprivate init(_ words: [Substring]) {
        func number(_ index: Int) -> Int64 {
            index < words.count ? Int64(words[index]) ?? 0 : 0
        }
        self.generation = number(1)
        if words.count > 3, let salt = UInt64(words[2]), let frames = Int(words[3]), frames > 0 {
            self.mark = LogMark(salt: salt, frames: frames)
        }
        self.epoch = number(4)
        if words.count > 6 {
            self.time = StoreTime(
                steady: Timestamp(microseconds: number(5)),
                civil: Timestamp(microseconds: number(6))
            )
        }
    }

    init(generation: Int64, mark: LogMark?, epoch: Int64, time: StoreTime) {
        self.generation = generation
        self.mark = mark
        self.epoch = epoch
        self.time = time
    }

    /// The words in the order in which they are read; 0 for what is not known.
    fileprivate var words: [UInt64] {
        [
            UInt64(clamping: self.generation), self.mark?.salt ?? 0, UInt64(clamping: self.mark?.frames ?? 0),
            UInt64(clamping: self.epoch), UInt64(clamping: self.time?.steady.microseconds ?? 0),
            UInt64(clamping: self.time?.civil.microseconds ?? 0),
        ]
    }
}

/// The lock that keeps a second gateway away from a store, and a memory beside the database of how far it had come.
///
/// The file holds the pid of the holder and a `StoreMemory`. The generation is first committed to the database, in the
/// first commit after each checkpoint, and then written here. So a database with a lower one than the file has lost its
/// write-ahead log, and with it mail; and a log that is shorter than the file says was damaged. Without this both would
/// open as if nothing had been.
final class StoreLock: Sendable {
    private static let size = 160

    private let descriptor: Int32
    private let path: String

    /// What the last holder left.
    let last: StoreMemory

    /// Takes the lock at once or throws, naming the process that has it.
    init(_ path: String) throws(StoreFailure) {
        self.path = path
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard self.descriptor >= 0 else {
            throw StoreFailure(.broken, "cannot open \(path): \(systemError())")
        }
        let taken = flock(self.descriptor, LOCK_EX | LOCK_NB) == 0
        let error = errno
        let words = Self.words(self.descriptor)
        guard taken else {
            close(self.descriptor)
            guard error == EWOULDBLOCK else {
                throw StoreFailure(.broken, "cannot lock \(path): \(systemError(error))")
            }
            let holder = words.first.map { "process \($0)" } ?? "another process"
            throw StoreFailure(.busy, "the queue is in use by \(holder), which holds \(path)")
        }
        self.last = StoreMemory(words)
    }

    /// What the lock file at a path remembers, for who only looks; nil when there is none.
    ///
    /// `isHeld` is what was true at this moment.
    static func memory(_ path: String) -> (isHeld: Bool, last: StoreMemory)? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            return nil
        }
        defer { close(descriptor) }
        let isHeld = flock(descriptor, LOCK_SH | LOCK_NB) != 0
        return (isHeld, StoreMemory(Self.words(descriptor)))
    }

    /// Writes down who holds the lock and how far the database has come; after a commit, and without a flush.
    ///
    /// A flush is not needed: what must never happen is that the file is ahead of the database.
    func write(_ memory: StoreMemory) {
        // Always as long: one call for each commit, and nothing of an older text stays behind. Written from the end, since
        // the commit thread has better things to do than to build strings.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.size) { bytes in
            bytes.update(repeating: UInt8(ascii: " "))
            var position = Self.size - 1
            bytes[position] = UInt8(ascii: "\n")
            for word in ([UInt64(getpid())] + memory.words).reversed() {
                var rest = word
                repeat {
                    position -= 1
                    bytes[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                    rest /= 10
                } while rest > 0
                position -= 1
            }
            // An error here (a full disk) makes the file older than the database, which is the harmless way round.
            pwrite(self.descriptor, bytes.baseAddress, bytes.count, 0)
        }
    }

    /// Lets go; nothing may be written through the store any more.
    func release() {
        flock(self.descriptor, LOCK_UN)
    }

    deinit {
        close(self.descriptor)
    }

    private static func words(_ descriptor: Int32) -> [Substring] {
        var bytes = [UInt8](repeating: 0, count: self.size)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split { $0 == " " || $0 == "\n" }
    }
}
