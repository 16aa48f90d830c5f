package import Delivery
package import MailModel

extension MessageStore {
    package func expedite(_ selection: QueueSelection) async throws(StoreFailure) -> Int {
        try await self.write { connection in
            try connection.update("due_at = 0", where: "state <= 1 AND lease = 0 AND due_at <> 0", selection)
        }
    }

    /// Keeps what waits from being tried until it is released or deleted; returns how many recipients.
    ///
    /// What is being delivered at this moment is not touched.
    package func hold(_ selection: QueueSelection) async throws(StoreFailure) -> Int {
        try await self.write { connection in
            try connection.update("state = 2, due_at = NULL", where: "state <= 1 AND lease = 0", selection)
        }
    }

    /// Makes what is held due at once; returns how many recipients.
    package func releaseHeld(_ selection: QueueSelection) async throws(StoreFailure) -> Int {
        try await self.write { connection in
            try connection.update("state = 1, lease = 0, due_at = 0", where: "state = 2", selection)
        }
    }

    /// Gives up what is not delivered yet, without a report to its sender; returns how many recipients.
    ///
    /// What is being delivered at this moment may still be delivered, and is then on record as delivered; it is not
    /// tried again, and `begin` refuses it.
    package func delete(_ selection: QueueSelection, at now: Timestamp) async throws(StoreFailure) -> Int {
        let keepContent = self.configuration.keepContent
        let (count, files) = try await self.write { connection in
            let messages = try connection.messages(where: "state <= 2", selection)
            let count = try connection.update(
                "state = 6, lease = 0, due_at = NULL, finished_at = \(now.microseconds)",
                where: "state <= 2",
                selection
            )
            let files = try messages.filter { id in
                try connection.closeIfFinished(id, at: now, keepContent: keepContent)
            }
            return (count, files)
        }
        files.forEach(self.contentFiles.remove)
        return count
    }
}

extension Connection {
    /// Changes the unfinished recipients of a selection that meet a condition; returns how many.
    fileprivate func update(_ change: String, where condition: String, _ selection: QueueSelection) throws -> Int {
        let (filter, values) = selection.filter
        return try self.run("UPDATE recipients SET \(change) WHERE \(condition)\(filter)", values)
    }

    fileprivate func messages(where condition: String, _ selection: QueueSelection) throws -> [QueueID] {
        let (filter, values) = selection.filter
        return try self.rows("SELECT DISTINCT message FROM recipients WHERE \(condition)\(filter)", values) {
            QueueID(number: $0.integer(0))
        }
    }
}

extension QueueSelection {
    /// The condition to add to a statement about `recipients`, with its values.
    fileprivate var filter: (sql: String, values: [SQLValue]) {
        switch self {
        case .all: ("", [])
        case .message(let id): (" AND message = ?", [.integer(id.number)])
        case .domain(let domain): (" AND domain = ? COLLATE NOCASE", [.text(domain)])
        }
    }
}
