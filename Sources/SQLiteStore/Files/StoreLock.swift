import Delivery
import Foundation

/// The lock that keeps a second gateway away from a store, and a memory beside the database of how far it had come.
///
/// The file holds the pid of the holder, a generation, and how far the write-ahead log had come. The generation is first
/// committed to the database, in the first commit after each checkpoint, and then written here. So a database with a
/// lower one than the file has lost its write-ahead log, and with it mail; and a log that is shorter than the file says
/// was damaged. Without this both would open as if nothing had been.
final class StoreLock: Sendable {
    private let descriptor: Int32
    private let path: String

    /// What the last holder left; 0 when there was none.
    let lastGeneration: Int64
    /// Where the log of the last holder stood at its last commit; nil when it was closed, or unknown.
    let lastMark: LogMark?

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
        self.lastGeneration = words.dropFirst().first.flatMap { Int64($0) } ?? 0
        self.lastMark = Self.mark(words)
    }

    /// What the lock file at a path remembers, for who only looks; nil when there is none.
    ///
    /// `isHeld` is what was true at this moment.
    static func memory(_ path: String) -> (isHeld: Bool, generation: Int64, mark: LogMark?)? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            return nil
        }
        defer { close(descriptor) }
        let isHeld = flock(descriptor, LOCK_SH | LOCK_NB) != 0
        let words = Self.words(descriptor)
        return (isHeld, words.dropFirst().first.flatMap { Int64($0) } ?? 0, Self.mark(words))
    }

    /// Writes down who holds the lock and how far the database has come; after a commit, and without a flush.
    ///
    /// A flush is not needed: what must never happen is that the file is ahead of the database.
    func write(generation: Int64, mark: LogMark?) {
        var text = "\(getpid()) \(generation)"
        if let mark {
            text += " \(mark.salt) \(mark.frames)"
        }
        // Always as long: one call for each commit, and nothing of an older text stays behind.
        let bytes = Array(text.utf8) + Array(repeating: UInt8(ascii: " "), count: max(0, 94 - text.utf8.count)) + [10]
        // An error here (a full disk) makes the file older than the database, which is the harmless way round.
        pwrite(self.descriptor, bytes, bytes.count, 0)
    }

    /// Lets go; nothing may be written through the store any more.
    func release() {
        flock(self.descriptor, LOCK_UN)
    }

    deinit {
        close(self.descriptor)
    }

    private static func mark(_ words: [Substring]) -> LogMark? {
        guard words.count >= 4, let salt = UInt64(words[2]), let frames = Int(words[3]) else {
            return nil
        }
        return LogMark(salt: salt, frames: frames)
    }

    private static func words(_ descriptor: Int32) -> [Substring] {
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split { $0 == " " || $0 == "\n" }
    }
}
