import Delivery
import GRDB
import GRDBSQLite
import Logging
import MailModel

/// The one connection that writes, and what must happen around its commits.
///
/// Used by one thread at a time: by `MessageStore.open`, then by the commit thread alone.
final class WriterDatabase {
    private let configuration: MessageStore.Configuration
    private let directory: StoreDirectory
    private let lock: StoreLock
    private let logger: Logger
    private var queue: DatabaseQueue?
    /// Of the handle that is open.
    private let statements = StatementCache()
    /// Frames in the write-ahead log, kept by SQLite's hook after each commit.
    private let walFrames: UnsafeMutablePointer<Int32>
    private var generation: Int64 = 0
    /// A checkpoint ran since the last commit: the next one carries a new generation.
    private var needsGeneration = false
    /// The salts of the write-ahead log since it last began anew.
    private var logSalt: UInt64 = 0

    private(set) var epoch: Int64 = 0

    /// Opens, checks and migrates the database, and begins a new run.
    init(
        configuration: MessageStore.Configuration,
        directory: StoreDirectory,
        lock: StoreLock,
        logger: Logger
    ) throws {
        self.configuration = configuration
        self.directory = directory
        self.lock = lock
        self.logger = logger
        self.walFrames = .allocate(capacity: 1)
        self.walFrames.initialize(to: 0)
        let queue = try self.open()
        self.queue = queue
        try self.checkIntegrity(queue)
        try Schema.migrator.migrate(queue)
        try self.beginRun(queue)
    }

    deinit {
        // The hook writes through the pointer as long as the connection is open.
        self.abandonHandle()
        self.walFrames.deallocate()
    }

    /// Whether enough is in the write-ahead log that an idle moment is well spent on a checkpoint.
    var hasMuchToCheckpoint: Bool {
        self.walFrames.pointee >= 250
    }

    private func open() throws -> DatabaseQueue {
        var options = GRDB.Configuration()
        options.busyMode = .timeout(Double(self.configuration.busyTimeout.wholeMilliseconds) / 1_000)
        options.foreignKeysEnabled = false
        options.label = "hikyaku.store.writer"
        let maximumPages = self.configuration.maximumPages
        // Written on the thread that commits, read on the same; freed after the connection.
        nonisolated(unsafe) let frames = self.walFrames
        options.prepareDatabase { database in
            // mmap stays off: an input error would arrive as SIGBUS instead of as an error code.
            try database.execute(
                sql: """
                    PRAGMA journal_mode = WAL;
                    PRAGMA synchronous = FULL;
                    PRAGMA secure_delete = FAST;
                    PRAGMA wal_autocheckpoint = 0;
                    PRAGMA journal_size_limit = 67108864;
                    PRAGMA cache_size = -32000;
                    PRAGMA temp_store = MEMORY;
                    """
            )
            if let maximumPages {
                try database.execute(sql: "PRAGMA max_page_count = \(maximumPages)")
            }
            sqlite3_wal_hook(
                database.sqliteConnection,
                { context, _, _, count in
                    context?.assumingMemoryBound(to: Int32.self).pointee = count
                    return SQLITE_OK
                },
                frames
            )
        }
        let queue = try DatabaseQueue(path: self.directory.database, configuration: options)
        try Self.checkDurability(queue)
        try queue.writeWithoutTransaction { database in
            // Reads, and thereby opens the log.
            try database.execute(sql: "SELECT count(*) FROM sqlite_schema")
            guard let connection = database.sqliteConnection else {
                return
            }
            try GatheringLog.install(on: connection, beforeSync: self.configuration.beforeSync)
        }
        return queue
    }

    /// Refuses a connection on which a commit would not be what `250` promises.
    private static func checkDurability(_ queue: DatabaseQueue) throws {
        let settings = try Self.durability(queue)
        guard settings.journalMode == "wal", settings.synchronous == 2 else {
            throw StoreFailure(.broken, "SQLite did not accept WAL with synchronous=FULL: it says \(settings)")
        }
    }

    /// What SQLite itself says of the live connection.
    static func durability(_ queue: DatabaseQueue) throws -> Durability {
        try queue.writeWithoutTransaction { database in
            Durability(
                journalMode: try String.fetchOne(database, sql: "PRAGMA journal_mode") ?? "",
                synchronous: try Int.fetchOne(database, sql: "PRAGMA synchronous") ?? -1,
                autoVacuum: try Int.fetchOne(database, sql: "PRAGMA auto_vacuum") ?? -1,
                secureDelete: try Int.fetchOne(database, sql: "PRAGMA secure_delete") ?? -1
            )
        }
    }

    func durability() throws -> Durability {
        try Self.durability(try self.openQueue())
    }

    private func checkIntegrity(_ queue: DatabaseQueue) throws {
        guard size(self.directory.database) <= self.configuration.integrityCheckLimit else {
            return
        }
        let answer = try queue.writeWithoutTransaction { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
        guard answer == "ok" else {
            throw StoreFailure(
                .broken,
                "the database \(self.directory.database) is damaged: \(answer ?? "no answer")\(damageAdvice)"
            )
        }
    }

    /// Commits a new epoch and generation, after looking whether the last run's generation is still there.
    private func beginRun(_ queue: DatabaseQueue) throws {
        let last = self.lock.last.generation
        try queue.writeWithoutTransaction { database in
            let connection = Connection(database: database, epoch: 0)
            let meta = "SELECT value FROM meta WHERE key = ?"
            let generation = try connection.first(meta, ["generation"]) { $0.integer(0) } ?? 0
            guard generation >= last else {
                throw StoreFailure(
                    .broken,
                    "the database \(self.directory.database) is older than the last run left it (\(generation) < \(last)): "
                        + "its write-ahead log is gone; bring \(self.directory.writeAheadLog) back, or remove "
                        + "\(self.directory.lock) to go on without what it held"
                )
            }
            let shift = try self.shift(connection)
            try connection.transaction {
                try connection.run("UPDATE meta SET value = value + 1")
                if let shift {
                    try connection.shiftTimes(by: shift)
                }
                try connection.endFuture(at: self.configuration.clock().steady)
            }
            self.epoch = try connection.first(meta, ["epoch"]) { $0.integer(0) } ?? 0
            self.generation = generation + 1
        }
        self.noteCommit(isLogUnknown: true)
    }

    /// Writes down how far the database has come, so that the next start sees if anything of it is gone.
    private func noteCommit(isLogUnknown: Bool) {
        if isLogUnknown {
            self.logSalt = WriteAheadLog.salt(self.directory.writeAheadLog) ?? 0
        }
        self.remember(LogMark(salt: self.logSalt, frames: Int(self.walFrames.pointee)))
    }

    private func remember(_ mark: LogMark?) {
        let time = self.configuration.clock()
        self.lock.write(StoreMemory(generation: self.generation, mark: mark, epoch: self.epoch, time: time))
    }

    /// How far the clock jumped, if that was not made good by a run whose memory is not written down.
    private func shift(_ connection: Connection) throws -> Duration? {
        let epoch = try connection.first("SELECT value FROM meta WHERE key = ?", ["epoch"]) { $0.integer(0) }
        let last = self.lock.last
        guard epoch == last.epoch, let shift = StoreTime.shift(from: last.time, to: self.configuration.clock()) else {
            return nil
        }
        self.logger.notice(
            "the clock jumped; what is due moves along",
            metadata: ["seconds": "\(shift.wholeMilliseconds / 1_000)"]
        )
        return shift
    }

    private func openQueue() throws -> DatabaseQueue {
        if let queue = self.queue {
            return queue
        }
        guard size(self.directory.database) > 0 else {
            throw StoreFailure(.broken, "the database \(self.directory.database) is gone")
        }
        let queue = try self.open()
        self.queue = queue
        self.logger.notice("store reopened", metadata: ["path": "\(self.directory.database)"])
        return queue
    }

    /// Gives up the handle; the next transaction opens another one.
    ///
    /// After a failed flush nobody knows which pages the kernel still holds. The frames of the failed commit are not in
    /// the index of the write-ahead log, which the readers of this process keep alive, so the next commit writes over
    /// them and flushes them again: nothing is built upon what was not flushed.
    func abandonHandle() {
        self.statements.removeAll()
        self.queue = nil
    }

    /// Gives up the handle of a commit that failed, and at once writes over what it left in the write-ahead log.
    ///
    /// Else a crash before the next commit would bring back a message that was refused, without the content file that
    /// went with the refusal. Where the disk does not take this commit either, that must be risked.
    func abandonRefusedCommit() {
        self.abandonHandle()
        self.needsGeneration = true
        do {
            try self.transaction { _ in }
        } catch {
            self.logger.warning("the store stays in trouble", metadata: ["error": "\(StoreFailure(error))"])
            self.abandonHandle()
        }
    }

    /// Runs the body in one transaction and returns after the flush.
    func transaction(_ body: (Connection) throws -> Void) throws {
        let queue = try self.openQueue()
        let bumps = self.needsGeneration
        try queue.writeWithoutTransaction { database in
            let connection = Connection(database: database, epoch: self.epoch, statements: self.statements)
            try connection.transaction {
                if bumps {
                    try connection.run("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
                }
                try body(connection)
            }
        }
        if bumps {
            self.needsGeneration = false
            self.generation += 1
        }
        self.noteCommit(isLogUnknown: bumps)
    }

    /// Moves the write-ahead log into the database if it has grown past the limit.
    func checkpointIfLong() {
        if self.walFrames.pointee >= self.configuration.checkpointFrames {
            self.checkpoint(truncate: false)
        }
    }

    /// Moves what readers allow from the write-ahead log into the database; trouble is logged and tried again later.
    func checkpoint(truncate: Bool) {
        guard let queue = self.queue else {
            return
        }
        do {
            let mode: Database.CheckpointMode = truncate ? .truncate : .passive
            _ = try queue.writeWithoutTransaction { try $0.checkpoint(mode) }
            self.needsGeneration = true
        } catch {
            self.logger.warning("checkpoint failed", metadata: ["error": "\(StoreFailure(error))"])
            // Which pages of the database the disk has, nobody knows now. They are still in the log, all of them.
            if BatchTrouble(error) == .ofTheHandle {
                self.abandonHandle()
            }
        }
        // If readers held it back, the next commits bring the count up again, and with it the next try.
        self.walFrames.pointee = 0
    }

    /// Writes the database anew without its free pages; the copy is a file beside it, and not in memory.
    func compact() throws {
        try self.openQueue().writeWithoutTransaction { database in
            // Of what is read once nothing needs to stay in memory either. /tmp may be small, read-only or memory itself;
            // the directory is the process's, hence taken back.
            try database.execute(sql: "PRAGMA temp_store = FILE; PRAGMA cache_size = -8000")
            let directory = self.directory.path.replacing("'", with: "''")
            try database.execute(sql: "PRAGMA temp_store_directory = '\(directory)'")
            // No memory for an empty text would only leave it to the next who compacts.
            defer { try? database.execute(sql: "PRAGMA temp_store_directory = ''") }
            try database.execute(sql: "VACUUM")
        }
        self.needsGeneration = true
    }

    /// Moves everything into the database and closes it.
    func close() {
        self.checkpoint(truncate: true)
        self.statements.removeAll()
        do {
            try self.queue?.close()
        } catch {
            self.logger.warning("closing the store failed", metadata: ["error": "\(StoreFailure(error))"])
        }
        self.queue = nil
        if !exists(self.directory.writeAheadLog) {
            self.remember(nil)
        }
    }
}

/// What SQLite says of the connection that commits messages.
package struct Durability: Hashable, Sendable, CustomStringConvertible {
    /// Must be `wal`.
    package let journalMode: String
    /// Must be 2, which is FULL.
    package let synchronous: Int
    /// 0 is NONE.
    package let autoVacuum: Int
    /// 2 is FAST.
    package let secureDelete: Int

    package var description: String {
        "journal_mode=\(self.journalMode) synchronous=\(self.synchronous) auto_vacuum=\(self.autoVacuum) "
            + "secure_delete=\(self.secureDelete)"
    }
}
