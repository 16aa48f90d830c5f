import CSQLite
package import Delivery
import GRDB
package import Logging
package import MailModel
import Synchronization

/// The queue on disk: messages, recipients, attempts, breakers and the last good DNS answers in one SQLite database.
///
/// One thread writes and shares its flushes (`CommitThread`); readers have connections and threads of their own. Large
/// contents are files beside the database. Only one process at a time can hold a store; `HistoryReader` works beside it.
package final class MessageStore: Sendable {
    /// How the store behaves; the defaults suit a gateway of any size.
    package struct Configuration: Sendable {
        /// Made with mode 0700 if missing; holds `hikyaku.db`, `hikyaku.lock` and `content/`.
        package var directory: String
        /// Whether the content of a message outlives its delivery, until the message is purged.
        package var keepContent: Bool
        /// How long a commit waits for somebody else's lock before its messages are answered 451.
        package var busyTimeout: Duration
        /// How many changes may wait for the commit that runs; more fail at once with `busy`.
        package var capacity: Int
        /// The length of the write-ahead log, in pages of 4 KiB, at which it is moved into the database.
        package var checkpointFrames: Int
        /// The largest database, in octets, that is checked whole at start.
        package var integrityCheckLimit: Int
        /// The largest database in pages; nil: as large as the disk allows.
        package var maximumPages: Int?
        /// Called on the writer's thread between the write of a commit and its flush; for crash tests, else nil.
        package var beforeSync: (@Sendable () -> Void)?
        /// Both clocks, for what a start must know of jumps; called at each commit.
        package var clock: @Sendable () -> StoreTime

        package init(directory: String) {
            self.directory = directory
            self.keepContent = false
            self.busyTimeout = .seconds(5)
            self.capacity = 8_192
            self.checkpointFrames = 4_096
            self.integrityCheckLimit = 256 * 1_024 * 1_024
            self.maximumPages = nil
            self.clock = { .civil }
        }
    }

    let configuration: Configuration
    let directory: StoreDirectory
    let committer: CommitThread
    let readers: HistoryReader
    let logger: Logger
    private let lock: StoreLock
    /// Leases whose messages could not be read, and whose end could not be written yet.
    let unreadable = Mutex<[UnreadableLease]>([])

    /// The number of this run of the gateway on this store, from 1; leases carry it.
    package let epoch: Int64
    /// What SQLite said of the writing connection when it was opened; every reopening is checked alike.
    package let durability: Durability
    /// Where large contents are written while they come in.
    package let contentFiles: ContentFiles

    /// Whether SQLite allocates without counting, for which it must be told before its first use in the process.
    private static let usesPlainMemory = hikyaku_sqlite_count_no_memory() == 0

    /// Opens the store, or makes an empty one where there has been none; blocks until that is done.
    ///
    /// Throws, with a text for the operator, when another process holds the store (`busy`), when the database is damaged,
    /// and when what is there shows that mail was lost from it: never begins with an empty queue by accident.
    package static func open(_ configuration: Configuration, logger: Logger) throws(StoreFailure) -> MessageStore {
        _ = Self.usesPlainMemory
        let directory = StoreDirectory(configuration.directory)
        try directory.create()
        let lock = try StoreLock(directory.lock)
        try directory.checkNothingIsLost(generation: lock.last.generation)
        try directory.checkLogIsWhole(since: lock.last.mark)
        do {
            try directory.createDatabaseFile()
            let database = try WriterDatabase(
                configuration: configuration,
                directory: directory,
                lock: lock,
                logger: logger
            )
            return try MessageStore(configuration, directory: directory, lock: lock, database: database, logger: logger)
        } catch {
            let failure = StoreFailure(error)
            throw StoreFailure(failure.kind, "cannot open \(directory.database): \(failure)")
        }
    }

    private init(
        _ configuration: Configuration,
        directory: StoreDirectory,
        lock: StoreLock,
        database: WriterDatabase,
        logger: Logger
    ) throws {
        self.configuration = configuration
        self.directory = directory
        self.lock = lock
        self.logger = logger
        self.epoch = database.epoch
        self.durability = try database.durability()
        self.contentFiles = ContentFiles(directory: directory)
        self.readers = try HistoryReader(directory, besideWriter: true)
        self.committer = CommitThread(capacity: configuration.capacity, logger: logger)
        try self.removeOrphans()
        // Readers first: the last connection takes the write-ahead log away, if it is one that can write.
        self.committer.start(database) { [readers] in readers.close() }
    }

    /// Commits what was handed in, moves everything into the database file and lets go of the store.
    ///
    /// What is submitted afterwards fails with `closed`.
    package func close() async {
        await withCheckedContinuation { continuation in
            self.committer.close { continuation.resume() }
        }
        self.lock.release()
    }

    /// How much has been committed since the store was opened.
    package var counters: CommitCounters {
        self.committer.counters
    }

    /// The highest queue id in the store, for whoever gives out the next one; nil when it is empty.
    package func lastQueueID() async throws(StoreFailure) -> QueueID? {
        try await self.readers.read { connection in
            try connection.first("SELECT max(id) FROM messages") { $0.optionalInteger(0).map(QueueID.init(number:)) }
                ?? nil
        }
    }

    /// Makes a change durable, together with whatever else arrives now, and returns what it returned.
    func write<Value: Sendable>(
        _ change: @escaping @Sendable (Connection) throws -> Value
    ) async throws(StoreFailure) -> Value {
        let result: Result<Value, StoreFailure> = await withCheckedContinuation { continuation in
            self.committer.submit(
                Work(
                    run: { connection in
                        let value = try change(connection)
                        return { continuation.resume(returning: .success(value)) }
                    },
                    fail: { continuation.resume(returning: .failure($0)) }
                )
            )
        }
        return try result.get()
    }

    /// Removes content files that no unfinished message needs: of a commit that failed, or of a crash before removal.
    private func removeOrphans() throws {
        let files = try self.directory.contentFiles()
        guard !files.isEmpty else {
            return
        }
        let keepContent = self.configuration.keepContent
        let needed = try self.readers.readNow { connection in
            try files.map { file in
                let sql = "SELECT finished_at FROM messages WHERE id = ? AND flags & 8"
                let isKept = try connection.first(sql, [.integer(file.id.number)]) { $0.isNull(0) || keepContent }
                return isKept ?? false
            }
        }
        for (file, isNeeded) in zip(files, needed) where !isNeeded {
            self.logger.info("removing content without a message", metadata: ["id": "\(file.id)"])
            self.contentFiles.remove(file.id)
        }
    }
}
