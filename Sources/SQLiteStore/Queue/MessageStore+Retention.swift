package import Delivery
package import MailModel

extension MessageStore {
    /// Forgets messages that were finished before a moment, with their attempts, at most `limit`; returns how many.
    ///
    /// Also forgets DNS answers that are older. Call it again while it returns more than 0.
    package func purgeFinished(before: Timestamp, limit: Int) async throws(StoreFailure) -> Int {
        let ids = try await self.finished(before: before, limit: limit)
        try await self.write { connection in
            try ids.forEach(connection.forget)
            try connection.run("DELETE FROM answers WHERE received_at < ?", [.integer(before.microseconds)])
            try connection.forgetTransportSecurity(before: before)
        }
        ids.forEach(self.contentFiles.remove)
        return ids.count
    }

    /// Forgets finished messages, those that arrived first, until the store takes no more than `octets`.
    ///
    /// Works in batches of `batch` messages and calls `pause` between them, so that what commits mail meanwhile waits for
    /// one short transaction at most. Returns how many messages were forgotten. Unfinished ones are never touched: when
    /// they alone take more, nothing is left to forget.
    package func trimHistory(
        to octets: Int,
        batch: Int,
        pause: () async throws -> Void
    ) async throws -> Int {
        var count = 0
        var last: QueueID?
        while try await self.usedOctets() > octets {
            let ids = try await self.finished(after: last, limit: batch)
            guard let end = ids.last else {
                return count
            }
            try await self.write { connection in
                try ids.forEach(connection.forget)
            }
            ids.forEach(self.contentFiles.remove)
            count += ids.count
            last = end
            try await pause()
        }
        return count
    }

    /// Octets in use: pages of the database that are not free, and content files.
    ///
    /// The files themselves do not shrink: free pages are filled again first.
    package func usedOctets() async throws(StoreFailure) -> Int {
        try await self.readers.read { connection in
            func number(_ sql: String) throws -> Int {
                try connection.first(sql) { Int($0.integer(0)) } ?? 0
            }
            let pages = try number("PRAGMA page_count") - number("PRAGMA freelist_count")
            // Without it, the only files are those of unfinished messages, which nobody may forget.
            guard self.configuration.keepContent else {
                return try pages * number("PRAGMA page_size")
            }
            let files = try number("SELECT coalesce(sum(size), 0) FROM messages WHERE flags & 8")
            return try pages * number("PRAGMA page_size") + files
        }
    }

    /// Messages that were finished before a moment, the first of them first.
    ///
    /// Their ids say nothing of when that was: after one run with a clock in the future all ids are of that time.
    private func finished(before moment: Timestamp, limit: Int) async throws(StoreFailure) -> [QueueID] {
        try await self.readers.read { connection in
            try connection.rows(
                "SELECT id FROM messages INDEXED BY messages_finished WHERE finished_at < ? ORDER BY finished_at",
                [.integer(moment.microseconds)],
                limit: limit
            ) { QueueID(number: $0.integer(0)) }
        }
    }

    /// Finished messages in the order of their arrival, from behind a queue id on.
    private func finished(after id: QueueID?, limit: Int) async throws(StoreFailure) -> [QueueID] {
        try await self.readers.read { connection in
            try connection.rows(
                "SELECT id FROM messages WHERE id > ? AND finished_at IS NOT NULL ORDER BY id",
                [.integer(id?.number ?? 0)],
                limit: limit
            ) { QueueID(number: $0.integer(0)) }
        }
    }
}

extension Connection {
    /// Removes a message and all that belongs to it but its content file.
    fileprivate func forget(_ id: QueueID) throws {
        for table in ["recipients", "attempts", "contents"] {
            try self.run("DELETE FROM \(table) WHERE message = ?", [.integer(id.number)])
        }
        try self.run("DELETE FROM messages WHERE id = ?", [.integer(id.number)])
    }
}
