package import Delivery
import Foundation
import GRDB
package import MailModel

/// Reads a store without ever changing it, beside a running gateway or without one.
///
/// Its connections are its own and run on threads of their own.
package final class HistoryReader: Sendable {
    private let pool: DatabasePool

    /// Opens the store in a directory for reading; blocks until that is done.
    ///
    /// Throws `missing` when there is none, and `broken` with a text for the operator when it cannot be read.
    package convenience init(directory: String) throws(StoreFailure) {
        try self.init(StoreDirectory(directory), besideWriter: false)
    }

    init(_ directory: StoreDirectory, besideWriter: Bool) throws(StoreFailure) {
        try Self.checkAccess(directory.database)
        do {
            self.pool = try Self.open(directory.database)
        } catch {
            // The log's shared memory cannot be made on a read-only file system; without a log none is needed.
            let needsLog = besideWriter || size(directory.writeAheadLog) > 0
            guard !needsLog, let pool = try? Self.open(Self.unchanging(directory.database)) else {
                throw StoreFailure(
                    .broken,
                    "cannot read \(directory.database): \(StoreFailure(error)); reading needs the permission to write in "
                        + "\(directory.path) while \(directory.writeAheadLog) is there"
                )
            }
            self.pool = pool
        }
    }

    /// Only where there is nothing, there is no queue; one that may not be read is there.
    private static func checkAccess(_ path: String) throws(StoreFailure) {
        guard access(path, R_OK) != 0 else {
            return
        }
        let code = errno
        switch code {
        case ENOENT, ENOTDIR: throw StoreFailure(.missing, "there is no queue at \(path)")
        case EACCES, EPERM: throw StoreFailure(.broken, permissionDenied(path))
        default: throw StoreFailure(.broken, "cannot read \(path): \(systemError(code))")
        }
    }

    private static func open(_ path: String) throws -> DatabasePool {
        var options = GRDB.Configuration()
        options.readonly = true
        options.foreignKeysEnabled = false
        options.busyMode = .timeout(5)
        options.maximumReaderCount = 4
        options.persistentReadOnlyConnections = true
        options.label = "hikyaku.store"
        let pool = try DatabasePool(path: path, configuration: options)
        // Holds the log open from here on, and fails here rather than later.
        _ = try pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM meta") }
        return pool
    }

    /// The path in the form that tells SQLite that nobody writes, so that it needs neither lock nor shared memory.
    private static func unchanging(_ path: String) -> String {
        let allowed = CharacterSet.urlPathAllowed
        return "file:\(path.addingPercentEncoding(withAllowedCharacters: allowed) ?? path)?immutable=1"
    }

    /// Ends reading; later reads fail.
    package func close() {
        // Only fails when a read runs, and then the connection goes with the last reference.
        try? self.pool.close()
    }

    /// Reads in one snapshot, on a thread of the reader's.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Connection) throws -> Value
    ) async throws(StoreFailure) -> Value {
        do {
            return try await self.pool.read { try body(Connection(database: $0, epoch: 0)) }
        } catch {
            throw StoreFailure(error)
        }
    }

    /// Reads on the caller's thread; for the start only.
    func readNow<Value>(_ body: (Connection) throws -> Value) throws -> Value {
        try self.pool.read { try body(Connection(database: $0, epoch: 0)) }
    }
}

extension HistoryReader: History {
    package func messages(unfinishedOnly: Bool, limit: Int) async throws(StoreFailure) -> [MessageRecord] {
        let sql =
            unfinishedOnly
            ? "SELECT DISTINCT message FROM recipients WHERE state <= 2 ORDER BY message DESC"
            : "SELECT id FROM messages ORDER BY id DESC"
        return try await self.read { connection in
            try connection.records(try connection.rows(sql, limit: limit) { $0.integer(0) })
        }
    }

    package func message(_ id: QueueID) async throws(StoreFailure) -> MessageRecord? {
        try await self.read { connection in
            guard var record = try connection.records([id.number]).first else {
                return nil
            }
            record.attempts = try connection.attempts(of: id)
            return record
        }
    }

    package func messages(matching text: String, limit: Int) async throws(StoreFailure) -> [MessageRecord] {
        try await self.read { connection in
            var found = try connection.rows(
                "SELECT id FROM messages WHERE message_id IN (?1, '<' || ?1 || '>') ORDER BY id DESC",
                [.text(text)],
                limit: limit
            ) { $0.integer(0) }
            if let at = text.lastIndex(of: "@") {
                found += try connection.rows(
                    """
                    SELECT DISTINCT message FROM recipients
                    WHERE domain = ? COLLATE NOCASE AND local_part = ? COLLATE NOCASE ORDER BY message DESC
                    """,
                    [.text(String(text[text.index(after: at)...])), .text(String(text[..<at]))],
                    limit: limit
                ) { $0.integer(0) }
            }
            return try connection.records(Set(found).sorted(by: >).prefix(max(0, limit)))
        }
    }

    package func diagnoses(limit: Int) async throws(StoreFailure) -> [DiagnosisRecord] {
        try await self.read { connection in
            guard try connection.hasTable("diagnoses") else {
                return []
            }
            return try connection.rows(
                "SELECT began_at, ended_at, verdict, report FROM diagnoses ORDER BY id DESC",
                limit: limit
            ) { row in
                DiagnosisRecord(
                    beganAt: Timestamp(microseconds: row.integer(0)),
                    endedAt: row.optionalInteger(1).map(Timestamp.init(microseconds:)),
                    verdict: row.text(2),
                    report: row.text(3)
                )
            }.reversed()
        }
    }
}

extension MessageStore: History {
    package func messages(unfinishedOnly: Bool, limit: Int) async throws(StoreFailure) -> [MessageRecord] {
        try await self.readers.messages(unfinishedOnly: unfinishedOnly, limit: limit)
    }

    package func message(_ id: QueueID) async throws(StoreFailure) -> MessageRecord? {
        try await self.readers.message(id)
    }

    package func messages(matching text: String, limit: Int) async throws(StoreFailure) -> [MessageRecord] {
        try await self.readers.messages(matching: text, limit: limit)
    }

    package func diagnoses(limit: Int) async throws(StoreFailure) -> [DiagnosisRecord] {
        try await self.readers.diagnoses(limit: limit)
    }
}
