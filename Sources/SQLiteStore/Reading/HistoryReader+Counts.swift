package import Delivery
import MailModel

extension HistoryReader {
    /// Deliveries that are looked at for the last one: they stand in the order of arrival.
    private static let deliveries = 1_000

    package func count(unfinishedOnly: Bool) async throws(StoreFailure) -> MessageCount {
        let which = unfinishedOnly ? "WHERE id IN (SELECT message FROM recipients WHERE state <= 2)" : ""
        return try await self.read { connection in
            let sql = "SELECT count(*), coalesce(sum(size), 0), min(arrived_at) FROM messages \(which)"
            return try connection.first(sql) { row in
                MessageCount(
                    messages: Int(row.integer(0)),
                    octets: Int(row.integer(1)),
                    oldestArrival: row.optionalInteger(2).map(Timestamp.init(microseconds:))
                )
            } ?? MessageCount()
        }
    }

    package func backlog() async throws(StoreFailure) -> Backlog {
        try await self.read { connection in
            // `state <= 2` word for word: that is what the index of unfinished recipients is for.
            let counts = try connection.first(
                "SELECT coalesce(sum(state <> 2), 0), coalesce(sum(state = 2), 0) FROM recipients WHERE state <= 2"
            ) { (Int($0.integer(0)), Int($0.integer(1))) }
            return Backlog(
                waiting: counts?.0 ?? 0,
                held: counts?.1 ?? 0,
                oldestArrival: try connection.oldestArrival(),
                reasons: try connection.reasons(),
                lastDelivery: try connection.lastDelivery(among: Self.deliveries)
            )
        }
    }

    package func waitingDomains(limit: Int) async throws(StoreFailure) -> [String] {
        try await self.read { connection in
            // Not by the index of addresses, which has all that was ever delivered.
            try connection.rows(
                """
                SELECT lower(domain) AS name FROM recipients INDEXED BY recipients_due
                WHERE state <= 2 AND state <> 2 AND domain NOT LIKE '[%'
                GROUP BY name ORDER BY count(*) DESC, name LIMIT ?
                """,
                [SQLValue(limit)]
            ) { $0.text(0) }
        }
    }

    package func senderDomains(limit: Int) async throws(StoreFailure) -> [String] {
        try await self.read { connection in
            try connection.rows(
                """
                SELECT lower(reverse_domain) AS name FROM messages WHERE reverse_domain <> ''
                GROUP BY name ORDER BY sum(finished_at IS NULL) DESC, count(*) DESC, name LIMIT ?
                """,
                [SQLValue(limit)]
            ) { $0.text(0) }
        }
    }
}

extension Connection {
    fileprivate func oldestArrival() throws -> Timestamp? {
        try self.first(
            """
            SELECT min(arrived_at) FROM messages
            WHERE id IN (SELECT message FROM recipients WHERE state <= 2 AND state <> 2)
            """
        ) { $0.optionalInteger(0).map(Timestamp.init(microseconds:)) } ?? nil
    }

    fileprivate func reasons() throws -> [Backlog.Reason] {
        try self.rows(
            """
            SELECT last_failure, count(*) FROM recipients WHERE state <= 2 AND state <> 2
            GROUP BY last_failure ORDER BY count(*) DESC, last_failure
            """,
            limit: Backlog.reasonLimit
        ) { Backlog.Reason(text: $0.optionalText(0), count: Int($0.integer(1))) }
    }

    fileprivate func lastDelivery(among limit: Int) throws -> Timestamp? {
        try self.rows(
            "SELECT finished_at FROM recipients WHERE state = 3 AND finished_at IS NOT NULL ORDER BY message DESC",
            limit: limit
        ) { Timestamp(microseconds: $0.integer(0)) }.max()
    }
}

extension MessageStore {
    package func count(unfinishedOnly: Bool) async throws(StoreFailure) -> MessageCount {
        try await self.readers.count(unfinishedOnly: unfinishedOnly)
    }

    package func backlog() async throws(StoreFailure) -> Backlog {
        try await self.readers.backlog()
    }

    package func waitingDomains(limit: Int) async throws(StoreFailure) -> [String] {
        try await self.readers.waitingDomains(limit: limit)
    }

    package func senderDomains(limit: Int) async throws(StoreFailure) -> [String] {
        try await self.readers.senderDomains(limit: limit)
    }
}
