import Foundation
import GRDB
import GRDBSQLite
import SQLiteStore
import Synchronization
import Testing

@Suite("A write-ahead log whose writes are gathered", .serialized)
struct GatheringLogTests {
    let fixture: StoreFixture

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("is written once for each commit, before its flush")
    func writesOnce() throws {
        let queue = try self.open()
        for size in [10, 30_000] {
            let before = CountingFile.calls
            try queue.write { try $0.execute(sql: "INSERT INTO t VALUES (NULL, randomblob(?))", arguments: [size]) }
            #expect(CountingFile.calls.since(before) == .init(writes: 1, syncs: 1), "\(size) octets")
        }
        let before = CountingFile.calls
        try queue.write { try $0.execute(sql: "INSERT INTO t VALUES (NULL, zeroblob(1000000))") }
        #expect(
            CountingFile.calls.since(before) == .init(writes: 8, syncs: 1),
            "a million octets, at most 128 KiB at a time"
        )
    }

    @Test("reads its own pages back while a transaction is too large for the cache, and forgets them with a rollback")
    func spills() throws {
        let queue = try self.open()
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA cache_size = 5") }
        try queue.inDatabase { database in
            for round in 1...40 {
                try database.execute(sql: "BEGIN; SAVEPOINT s")
                for _ in 1...20 {
                    try database.execute(sql: "INSERT INTO t VALUES (NULL, randomblob(9000))")
                }
                try database.execute(sql: round % 3 == 0 ? "ROLLBACK TO s" : "RELEASE s")
                try database.execute(sql: "UPDATE t SET content = randomblob(5000) WHERE id % 7 = \(round % 7)")
                try database.execute(sql: round % 5 == 0 ? "ROLLBACK" : "COMMIT")
                if round % 11 == 0 {
                    _ = try database.checkpoint(.passive)
                }
            }
        }
        let mine = try queue.read { try Self.contents($0) }
        // 40 rounds, of which 8 were rolled back as a whole and 11 more up to the savepoint.
        #expect(mine.count == 21 * 20)
        #expect(try self.fixture.stranger().read { try Self.contents($0) } == mine)
        #expect(try self.fixture.afterCrash().stranger().read { try Self.contents($0) } == mine)
    }

    @Test(
        "takes no commit of which the write or the flush fails, and goes on with the next",
        arguments: [(SQLITE_FULL, true), (Int32(778), true), (Int32(1034), false)]
    )
    func failures(code: Int32, isWrite: Bool) throws {
        let queue = try self.open()
        try queue.write { try $0.execute(sql: "INSERT INTO t VALUES (1, 'kept')") }
        CountingFile.fail(isWrite ? .write : .sync, with: code)
        let error = #expect(throws: DatabaseError.self) {
            try queue.write { try $0.execute(sql: "INSERT INTO t VALUES (2, 'refused')") }
        }
        #expect(error?.extendedResultCode.rawValue == code)
        try queue.write { try $0.execute(sql: "INSERT INTO t VALUES (3, 'after')") }
        for database in [queue, try self.fixture.stranger(), try self.fixture.afterCrash().stranger()] {
            #expect(try database.read { try Int.fetchAll($0, sql: "SELECT id FROM t ORDER BY id") } == [1, 3])
        }
    }

    /// A database with one table, the writes to whose log are counted behind the gathering.
    private func open() throws -> DatabaseQueue {
        var options = GRDB.Configuration()
        options.allowsUnsafeTransactions = true
        let queue = try DatabaseQueue(path: self.fixture.database, configuration: options)
        try queue.writeWithoutTransaction { database in
            try database.execute(
                sql: """
                    PRAGMA journal_mode = WAL;
                    PRAGMA synchronous = FULL;
                    PRAGMA wal_autocheckpoint = 0;
                    CREATE TABLE t (id INTEGER PRIMARY KEY, content BLOB);
                    """
            )
            let connection = try #require(database.sqliteConnection)
            try CountingFile.install(on: connection)
            try GatheringLog.install(on: connection)
        }
        return queue
    }

    private static func contents(_ database: Database) throws -> [Data] {
        #expect(try String.fetchOne(database, sql: "PRAGMA integrity_check") == "ok")
        return try Data.fetchAll(database, sql: "SELECT content FROM t ORDER BY id")
    }
}

/// The log file itself, whose writes and flushes are counted, and fail when they are told to.
///
/// One for all tests of the suite: what SQLite calls are C functions, which can carry nothing along.
private enum CountingFile {
    enum Call {
        case write
        case sync
    }

    struct Calls: Equatable {
        var writes = 0
        var syncs = 0

        func since(_ before: Calls) -> Calls {
            Calls(writes: self.writes - before.writes, syncs: self.syncs - before.syncs)
        }
    }

    private struct State {
        var original: sqlite3_io_methods?
        var calls = Calls()
        var failure: (call: Call, code: Int32)?

        /// The code that a call is to give instead of being made, once.
        mutating func failure(of call: Call) -> Int32? {
            guard let failure = self.failure, failure.call == call else {
                return nil
            }
            self.failure = nil
            return failure.code
        }
    }

    private static let state = Mutex(State())

    static var calls: Calls {
        self.state.withLock(\.calls)
    }

    static func fail(_ call: Call, with code: Int32) {
        self.state.withLock { $0.failure = (call, code) }
    }

    static func install(on connection: OpaquePointer) throws {
        var file: UnsafeMutablePointer<sqlite3_file>?
        sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file)
        let original = try #require(file?.pointee.pMethods)
        self.state.withLock { $0 = State(original: original.pointee) }
        // Never freed: the file may be used until the process ends.
        let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        methods.initialize(to: original.pointee)
        methods.pointee.xWrite = { file, bytes, count, offset in
            let (code, original) = CountingFile.state.withLock { state in
                state.calls.writes += 1
                return (state.failure(of: .write), state.original)
            }
            return code ?? original?.xWrite(file, bytes, count, offset) ?? SQLITE_MISUSE
        }
        methods.pointee.xSync = { file, flags in
            let (code, original) = CountingFile.state.withLock { state in
                state.calls.syncs += 1
                return (state.failure(of: .sync), state.original)
            }
            return code ?? original?.xSync(file, flags) ?? SQLITE_MISUSE
        }
        file?.pointee.pMethods = UnsafePointer(methods)
    }
}
