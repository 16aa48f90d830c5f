package import Delivery
package import MailModel

extension MessageStore {
    package func expedite(_ selection: QueueSelection, at now: Timestamp) async throws(StoreFailure) -> Int {
        try await self.update("due_at = 0", where: "state <= 1 AND lease = 0 AND due_at > ?1", selection, at: now)
    }

    /// Keeps what waits from being tried until it is released or deleted; returns how many recipients.
    ///
    /// What is being delivered at this moment is not touched; what a dead run had leased is.
    package func hold(_ selection: QueueSelection) async throws(StoreFailure) -> Int {
        let isNotOurs = "state <= 1 AND lease <> \(self.epoch)"
        return try await self.update("state = 2, lease = 0, due_at = NULL", where: isNotOurs, selection)
    }

    /// Makes what is held due at once; returns how many recipients.
    ///
    /// Patience with who may have a message begins anew: it was not at work meanwhile.
    package func releaseHeld(_ selection: QueueSelection) async throws(StoreFailure) -> Int {
        let patience = "deferred_since = CASE WHEN ambiguous_at IS NULL THEN deferred_since END"
        return try await self.update("state = 1, lease = 0, due_at = 0, \(patience)", where: "state = 2", selection)
    }

    /// Gives up what is not delivered yet, without a report to its sender; returns how many recipients.
    ///
    /// What is being delivered at this moment may still be delivered, and is then on record as delivered; it is not
    /// tried again, and `begin` refuses it.
    package func delete(_ selection: QueueSelection, at now: Timestamp) async throws(StoreFailure) -> Int {
        let keepContent = self.configuration.keepContent
        let change = "state = 6, lease = 0, due_at = NULL, finished_at = ?1"
        return try await self.inSteps(where: "state <= 2", selection, at: now) { keys throws(StoreFailure) in
            let (count, files) = try await self.write { connection in
                let count = try connection.update(change, where: "state <= 2", keys, at: now)
                let files = try Set(keys.map(\.message)).filter { id in
                    try connection.closeIfFinished(id, at: now, keepContent: keepContent)
                }
                return (count, files)
            }
            files.forEach(self.contentFiles.remove)
            return count
        }
    }

    /// How many recipients this run has leased: what of a selection is being delivered, or is about to be.
    package func leasedCount(_ selection: QueueSelection) async throws(StoreFailure) -> Int {
        let (condition, values) = selection.condition
        let epoch = self.epoch
        return try await self.readers.read { connection in
            try connection.first(
                """
                SELECT count(*) FROM recipients INDEXED BY recipients_due
                WHERE state <= 2 AND lease = ?1 AND state = 0 AND \(condition)
                """,
                [.integer(epoch)] + values
            ) { Int($0.integer(0)) } ?? 0
        }
    }

    /// The moment is what `?1` stands for in change and condition.
    private func update(
        _ change: String,
        where condition: String,
        _ selection: QueueSelection,
        at now: Timestamp = Timestamp(microseconds: 0)
    ) async throws(StoreFailure) -> Int {
        try await self.inSteps(where: condition, selection, at: now) { keys throws(StoreFailure) in
            try await self.write { try $0.update(change, where: condition, keys, at: now) }
        }
    }

    /// Hands out the unfinished recipients of a selection that meet a condition, which the step has to end; adds up the results.
    ///
    /// They are looked for by a reader and changed some hundreds at a time, so that submissions and outcomes have their turn:
    /// a million in one transaction would keep them waiting for many seconds.
    private func inSteps(
        where condition: String,
        _ selection: QueueSelection,
        at now: Timestamp,
        step: ([RecipientKey]) async throws(StoreFailure) -> Int
    ) async throws(StoreFailure) -> Int {
        var count = 0
        while true {
            let keys = try await self.readers.read { try $0.unfinished(where: condition, selection, at: now) }
            for start in stride(from: 0, to: keys.count, by: 500) {
                count += try await step(Array(keys[start..<min(start + 500, keys.count)]))
            }
            guard !selection.isComplete(after: keys.count) else {
                return count
            }
        }
    }
}

/// A row of `recipients`.
private struct RecipientKey: Sendable {
    var message: QueueID
    var number: Int64
}

extension Connection {
    /// Unfinished recipients of a selection that meet a condition, as many as one page holds; all of a single message.
    fileprivate func unfinished(
        where condition: String,
        _ selection: QueueSelection,
        at now: Timestamp
    ) throws -> [RecipientKey] {
        let (sql, values) = selection.search(condition)
        return try self.rows(sql, [.integer(now.microseconds)] + values) {
            RecipientKey(message: QueueID(number: $0.integer(0)), number: $0.integer(1))
        }
    }

    /// Changes those of some recipients that still meet a condition; returns how many.
    fileprivate func update(
        _ change: String,
        where condition: String,
        _ keys: [RecipientKey],
        at now: Timestamp
    ) throws -> Int {
        let sql = "UPDATE recipients SET \(change) WHERE message = ?2 AND number = ?3 AND \(condition)"
        return try keys.reduce(0) { count, key in
            let values: [SQLValue] = [.integer(now.microseconds), .integer(key.message.number), .integer(key.number)]
            return count + (try self.run(sql, values))
        }
    }
}

/// How many recipients are looked for at a time.
private let page = 20_000

extension QueueSelection {
    /// Finds unfinished recipients; which way is said, since the planner would go through all that waits even for one message.
    ///
    /// The values are those from `?2` on; `?1` is the moment.
    fileprivate func search(_ condition: String) -> (sql: String, values: [SQLValue]) {
        switch self {
        case .all:
            let unfinished = "recipients INDEXED BY recipients_due WHERE state <= 2 AND \(condition)"
            return ("SELECT message, number FROM \(unfinished) LIMIT ?2", [SQLValue(page)])
        case .message(let id):
            // Whoever does not meet the condition is left alone by the change.
            return ("SELECT message, number FROM recipients WHERE message = ?2", [.integer(id.number)])
        case .domain(let domain):
            let named = "recipients INDEXED BY recipients_by_address WHERE domain = ?3 COLLATE NOCASE AND \(condition)"
            return ("SELECT message, number FROM \(named) LIMIT ?2", [SQLValue(page), .text(domain)])
        }
    }

    /// What holds of its recipients; the value is that of `?2`.
    fileprivate var condition: (sql: String, values: [SQLValue]) {
        switch self {
        case .all: ("true", [])
        case .message(let id): ("message = ?2", [.integer(id.number)])
        case .domain(let domain): ("domain = ?2 COLLATE NOCASE", [.text(domain)])
        }
    }

    /// Whether nothing is left after so many were found.
    fileprivate func isComplete(after count: Int) -> Bool {
        switch self {
        case .all, .domain: count < page
        case .message: true
        }
    }
}
