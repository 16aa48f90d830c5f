package import Delivery
import GRDBSQLite

/// Gathers what SQLite writes to its write-ahead log, so that a commit reaches the file in one write.
///
/// SQLite writes every page of a commit in two pieces, its header and its content, each with a system call of its own; for a
/// page that costs more than all else that is done to write it. This puts itself before the methods of one open log and
/// hands on what it holds when SQLite flushes the file, reads what is held, or writes elsewhere.
///
/// Nobody misses what is held: other connections are told of the pages of a commit after its flush, since every commit is
/// flushed with `synchronous=FULL`. The connection's own thread is the only one that comes here.
package final class GatheringLog {
    private typealias Methods = sqlite3_io_methods
    private typealias File = UnsafeMutablePointer<sqlite3_file>

    /// The methods as SQLite calls them, and behind them what they belong to: a C function can carry nothing along.
    private struct Installed {
        var methods: Methods
        var log: Unmanaged<GatheringLog>
    }

    /// As much as SQLite's `seekAndWriteFd` takes at a time, about thirty pages; a longer commit goes in several writes.
    private static let capacity = 0x1_FFFF

    private let original: UnsafePointer<Methods>
    private let beforeSync: (@Sendable () -> Void)?
    private let held = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 4_096)
    /// Where in the file `held` begins, and how much of it is filled.
    private var offset: Int64 = 0
    private var count = 0

    private init(_ original: UnsafePointer<Methods>, beforeSync: (@Sendable () -> Void)?) {
        self.original = original
        self.beforeSync = beforeSync
    }

    deinit {
        self.held.deallocate()
    }

    /// Gathers the log of a connection that has read its database at least once, until SQLite closes the file.
    ///
    /// `beforeSync` is told of the instant between a write and its flush; for tests that have the process die just there.
    package static func install(
        on connection: OpaquePointer,
        beforeSync: (@Sendable () -> Void)? = nil
    ) throws(StoreFailure) {
        var file: File?
        let code = sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file)
        guard code == SQLITE_OK, let file, let original = file.pointee.pMethods else {
            throw StoreFailure(.broken, "SQLite does not show its write-ahead log")
        }
        var methods = original.pointee
        methods.xClose = { file in file.map { GatheringLog.of($0).close($0) } ?? SQLITE_MISUSE }
        methods.xRead = { file, bytes, count, offset in
            file.map { GatheringLog.of($0).read($0, bytes, count, offset) } ?? SQLITE_MISUSE
        }
        methods.xWrite = { file, bytes, count, offset in
            file.map { GatheringLog.of($0).write($0, bytes, count, offset) } ?? SQLITE_MISUSE
        }
        methods.xTruncate = { file, size in
            file.map { file in GatheringLog.of(file).handOn(file) { $0.xTruncate?(file, size) } } ?? SQLITE_MISUSE
        }
        methods.xSync = { file, flags in file.map { GatheringLog.of($0).sync($0, flags) } ?? SQLITE_MISUSE }
        methods.xFileSize = { file, size in
            file.map { file in GatheringLog.of(file).handOn(file) { $0.xFileSize?(file, size) } } ?? SQLITE_MISUSE
        }
        let installed = UnsafeMutablePointer<Installed>.allocate(capacity: 1)
        installed.initialize(
            to: Installed(methods: methods, log: .passRetained(GatheringLog(original, beforeSync: beforeSync)))
        )
        file.pointee.pMethods = Self.methods(of: installed)
    }

    private static func of(_ file: File) -> GatheringLog {
        Self.installed(on: file).pointee.log.takeUnretainedValue()
    }

    private static func installed(on file: File) -> UnsafeMutablePointer<Installed> {
        guard let methods = file.pointee.pMethods else {
            preconditionFailure("a file without methods was used")
        }
        return UnsafeMutableRawPointer(mutating: methods).assumingMemoryBound(to: Installed.self)
    }

    /// They stand first, so that their address is that of the whole.
    private static func methods(of installed: UnsafeMutablePointer<Installed>) -> UnsafePointer<Methods> {
        UnsafeRawPointer(installed).assumingMemoryBound(to: Methods.self)
    }

    // MARK: What SQLite calls

    private func write(_ file: File, _ bytes: UnsafeRawPointer?, _ count: Int32, _ offset: Int64) -> Int32 {
        if self.count > 0, offset != self.offset + Int64(self.count) || Int(count) > Self.capacity - self.count {
            let code = self.flush(file)
            guard code == SQLITE_OK else {
                return code
            }
        }
        guard let bytes, Int(count) <= Self.capacity else {
            return self.original.pointee.xWrite?(file, bytes, count, offset) ?? SQLITE_MISUSE
        }
        if self.count == 0 {
            self.offset = offset
        }
        self.held.baseAddress?.advanced(by: self.count).copyMemory(from: bytes, byteCount: Int(count))
        self.count += Int(count)
        return SQLITE_OK
    }

    private func read(_ file: File, _ bytes: UnsafeMutableRawPointer?, _ count: Int32, _ offset: Int64) -> Int32 {
        guard offset < self.offset + Int64(self.count), offset + Int64(count) > self.offset else {
            return self.original.pointee.xRead?(file, bytes, count, offset) ?? SQLITE_MISUSE
        }
        return self.handOn(file) { $0.xRead?(file, bytes, count, offset) }
    }

    private func sync(_ file: File, _ flags: Int32) -> Int32 {
        self.handOn(file) { original in
            self.beforeSync?()
            return original.xSync?(file, flags)
        }
    }

    /// What was not flushed belongs to no commit, and goes with the file.
    private func close(_ file: File) -> Int32 {
        let installed = Self.installed(on: file)
        file.pointee.pMethods = self.original
        defer {
            installed.pointee.log.release()
            installed.deinitialize(count: 1)
            installed.deallocate()
        }
        return self.original.pointee.xClose?(file) ?? SQLITE_MISUSE
    }

    // MARK: Handing on

    /// Writes what is held, and only then does something else with the file.
    private func handOn(_ file: File, _ then: (Methods) -> Int32?) -> Int32 {
        let code = self.flush(file)
        guard code == SQLITE_OK else {
            return code
        }
        return then(self.original.pointee) ?? SQLITE_MISUSE
    }

    /// Writes what is held; it is gone afterwards in any case, since SQLite ends a transaction of which a write failed.
    private func flush(_ file: File) -> Int32 {
        guard self.count > 0 else {
            return SQLITE_OK
        }
        defer { self.count = 0 }
        return self.original.pointee.xWrite?(file, self.held.baseAddress, Int32(self.count), self.offset)
            ?? SQLITE_MISUSE
    }
}
