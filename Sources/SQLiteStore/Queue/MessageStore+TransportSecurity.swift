package import Delivery
import Logging
package import MailModel

extension MessageStore: SecurityArchive {
    /// Rows of one day; what would need another one is counted for its domain alone, or not at all.
    static let resultsOfOneDay = 10_000

    package func stsPolicy(of domain: String) async -> KeptPolicy? {
        do {
            return try await self.readers.read { connection in
                try connection.first(
                    "SELECT id, text, fetched_at, expires_at FROM sts_policies WHERE domain = ?",
                    [.text(domain)]
                ) { row in
                    KeptPolicy(
                        domain: domain,
                        id: row.text(0),
                        text: row.text(1),
                        fetchedAt: Timestamp(microseconds: row.integer(2)),
                        expiresAt: Timestamp(microseconds: row.integer(3))
                    )
                }
            }
        } catch {
            self.logger.warning("the MTA-STS policies cannot be read", metadata: ["error": "\(error)"])
            return nil
        }
    }

    package func keep(_ policy: KeptPolicy) {
        guard policy.text.utf8.count <= 65_536 else {
            return
        }
        self.note("an MTA-STS policy") { connection in
            try connection.run(
                "INSERT OR REPLACE INTO sts_policies VALUES (?, ?, ?, ?, ?)",
                [
                    .text(policy.domain), .text(policy.id), .text(policy.text),
                    .integer(policy.fetchedAt.microseconds), .integer(policy.expiresAt.microseconds),
                ]
            )
        }
    }

    package func clearTextHosts(at now: Timestamp) async -> [ClearTextHost] {
        do {
            return try await self.readers.read { connection in
                try connection.rows(
                    "SELECT host, address, until, reason FROM clear_text_hosts WHERE until > ?",
                    [.integer(now.microseconds)]
                ) { row in
                    IPAddress(row.text(1)).map {
                        ClearTextHost(
                            host: row.text(0),
                            address: $0,
                            until: Timestamp(microseconds: row.integer(2)),
                            reason: row.text(3)
                        )
                    }
                }.compactMap(\.self)
            }
        } catch {
            self.logger.warning("the hosts without TLS cannot be read", metadata: ["error": "\(error)"])
            return []
        }
    }

    package func keep(_ host: ClearTextHost) {
        self.note("a host without TLS") { connection in
            try connection.run(
                "INSERT OR REPLACE INTO clear_text_hosts VALUES (?, ?, ?, ?)",
                [
                    .text(host.host), .text(host.address.description), .integer(host.until.microseconds),
                    .text(host.reason),
                ]
            )
        }
    }

    package func count(_ result: TLSResult, at now: Timestamp) {
        self.note("a TLS result") { try $0.count(result, day: now.day) }
    }

    /// Rides in the next commit; left out when the writer has much to do.
    private func note(_ what: String, _ change: @escaping @Sendable (Connection) throws -> Void) {
        guard self.committer.backlog < self.configuration.capacity / 4 else {
            return
        }
        let logger = self.logger
        self.committer.submit(
            Work(
                run: { connection in
                    try change(connection)
                    return {}
                },
                fail: { logger.debug("\(what) was not kept", metadata: ["error": "\($0)"]) }
            )
        )
    }
}

extension Connection {
    /// Adds one to a result of a day.
    fileprivate func count(_ result: TLSResult, day: Int64) throws {
        if try self.addOne(to: result, day: day) {
            return
        }
        var result = result
        if try self.resultCount(of: day) >= MessageStore.resultsOfOneDay {
            result = TLSResult(domain: result.domain, policy: result.policy, kind: result.kind)
            guard try !self.addOne(to: result, day: day),
                try self.resultCount(of: day) < 2 * MessageStore.resultsOfOneDay
            else {
                return
            }
        }
        try self.run(
            "INSERT INTO tls_results VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
            result.key(day) + [.text(result.policyText), .text(result.detail)]
        )
    }

    private func addOne(to result: TLSResult, day: Int64) throws -> Bool {
        try self.run(
            """
            UPDATE tls_results SET count = count + 1, policy_text = ?8, detail = ?9
            WHERE day = ?1 AND domain = ?2 AND policy = ?3 AND exchanger = ?4 AND result = ?5
                AND receiving_address = ?6 AND sending_address = ?7
            """,
            result.key(day) + [.text(result.policyText), .text(result.detail)]
        ) > 0
    }

    private func resultCount(of day: Int64) throws -> Int {
        try self.first("SELECT count(*) FROM tls_results WHERE day = ?", [.integer(day)]) { Int($0.integer(0)) } ?? 0
    }

    /// Forgets results and what has expired before a moment.
    func forgetTransportSecurity(before: Timestamp) throws {
        try self.run("DELETE FROM tls_results WHERE day < ?", [.integer(before.day)])
        try self.run("DELETE FROM sts_policies WHERE expires_at < ?", [.integer(before.microseconds)])
        try self.run("DELETE FROM clear_text_hosts WHERE until < ?", [.integer(before.microseconds)])
    }

    /// The results of a day and of the days after it.
    func tlsResults(since day: Int64, limit: Int) throws -> [TLSResultCount] {
        try self.rows(
            """
            SELECT day, domain, policy, exchanger, result, receiving_address, sending_address, count, policy_text, detail
            FROM tls_results WHERE day >= ? ORDER BY day, domain, policy, result = 'success' DESC, exchanger
            """,
            [.integer(day)],
            limit: limit
        ) { row in
            let result = TLSResult(
                domain: row.text(1),
                policy: TLSResult.Policy(rawValue: row.text(2)) ?? .none,
                exchanger: row.text(3),
                kind: TLSResult.Kind(rawValue: row.text(4)) ?? .validationFailure,
                receivingAddress: row.text(5),
                sendingAddress: row.text(6),
                policyText: row.text(8),
                detail: row.text(9)
            )
            return TLSResultCount(day: row.integer(0), result: result, count: Int(row.integer(7)))
        }
    }
}

extension TLSResult {
    fileprivate func key(_ day: Int64) -> [SQLValue] {
        [
            .integer(day), .text(self.domain), .text(self.policy.rawValue), .text(self.exchanger),
            .text(self.kind.rawValue), .text(self.receivingAddress), .text(self.sendingAddress),
        ]
    }
}

extension HistoryReader {
    /// What connections to exchangers said of TLS, since the day given, oldest first.
    package func tlsResults(since day: Int64, limit: Int) async throws(StoreFailure) -> [TLSResultCount] {
        try await self.read { try $0.hasTable("tls_results") ? $0.tlsResults(since: day, limit: limit) : [] }
    }
}
