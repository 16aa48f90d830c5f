import Delivery
import MailModel

/// The recipients of one message that were leased together; message and content are read outside the transaction.
struct Lease: Sendable {
    var id: QueueID
    var recipients: [Recipient]
    var interrupted: [Recipient.Number: String]
}

extension Connection {
    /// Leases what dead runs had leased, and then what is due, oldest first.
    func leaseDue(at now: Timestamp, limit: Int) throws -> [Lease] {
        guard limit > 0 else {
            return []
        }
        var ids = try self.messages(
            "SELECT message FROM recipients INDEXED BY recipients_due WHERE state <= 2 AND lease > 0 AND lease < ?",
            [.integer(self.epoch)],
            limit: limit
        )
        if ids.count < limit {
            ids += try self.messages(
                """
                SELECT message FROM recipients INDEXED BY recipients_due
                WHERE state <= 2 AND lease = 0 AND due_at <= ? ORDER BY due_at
                """,
                [.integer(now.microseconds)],
                limit: limit - ids.count,
                except: Set(ids)
            )
        }
        return try ids.compactMap { try self.lease($0, dueAt: now) }
    }

    /// Leases the unfinished and unleased recipients of one message that are due by the moment, or all (nil).
    func lease(_ id: QueueID, dueAt now: Timestamp?) throws -> Lease? {
        try self.closeInterruptedAttempts(of: id)
        var interrupted: [Recipient.Number: String] = [:]
        let recipients = try self.rows(
            """
            SELECT number, local_part, domain, notify, original_recipient, attempts, rounds, resume_at, deferred_since,
                ambiguous_at, interrupted_at
            FROM recipients WHERE message = ?1 AND state <= 1 AND lease <> ?2 AND (lease > 0 OR ?3 IS NULL OR due_at <= ?3)
            """,
            [.integer(id.number), .integer(self.epoch), SQLValue(now?.microseconds)]
        ) { row in
            let recipient = Recipient(row)
            interrupted[recipient.number] = row.optionalText(10)
            return recipient
        }
        guard !recipients.isEmpty else {
            return nil
        }
        for recipient in recipients {
            try self.run(
                "UPDATE recipients SET state = 0, lease = ? WHERE message = ? AND number = ?",
                [.integer(self.epoch), .integer(id.number), SQLValue(recipient.number)]
            )
        }
        return Lease(id: id, recipients: recipients, interrupted: interrupted)
    }

    /// Distinct messages in the order of the rows, at most `limit`.
    private func messages(
        _ sql: String,
        _ values: [SQLValue],
        limit: Int,
        except: Set<QueueID> = []
    ) throws -> [QueueID] {
        var seen = except
        var ids: [QueueID] = []
        try self.eachRow(sql, values) { row in
            let id = QueueID(number: row.integer(0))
            if seen.insert(id).inserted {
                ids.append(id)
            }
            return ids.count < limit
        }
        return ids
    }

    /// Notes for its recipients that an attempt of a dead run is open, and closes it as of unknown outcome.
    private func closeInterruptedAttempts(of id: QueueID) throws {
        let open = try self.rows(
            "SELECT id, provider, recipients FROM attempts WHERE message = ? AND open = 1 AND epoch < ? ORDER BY id",
            [.integer(id.number), .integer(self.epoch)]
        ) { (id: $0.integer(0), provider: $0.text(1), recipients: numbers($0.text(2))) }
        for attempt in open {
            for number in attempt.recipients {
                try self.run(
                    "UPDATE recipients SET interrupted_at = ? WHERE message = ? AND number = ? AND state <= 2",
                    [.text(attempt.provider), .integer(id.number), SQLValue(number)]
                )
            }
            try self.run(
                "UPDATE attempts SET open = 0, outcomes = ?, move = ? WHERE message = ? AND id = ?",
                [
                    .text(StoredAttempt.interrupted(attempt.recipients)),
                    "interrupted: the gateway stopped while the attempt ran",
                    .integer(id.number),
                    .integer(attempt.id),
                ]
            )
        }
    }

    /// When the next unleased recipient falls due; the beginning of time while there are leases of dead runs.
    func nextDue(epoch: Int64) throws -> Timestamp? {
        let abandoned = try self.first(
            "SELECT 1 FROM recipients INDEXED BY recipients_due WHERE state <= 2 AND lease > 0 AND lease < ? LIMIT 1",
            [.integer(epoch)]
        ) { _ in true }
        if abandoned == true {
            return Timestamp(microseconds: 0)
        }
        return try self.first(
            """
            SELECT due_at FROM recipients INDEXED BY recipients_due
            WHERE state <= 2 AND lease = 0 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
            """
        ) { Timestamp(microseconds: $0.integer(0)) }
    }
}

extension Recipient {
    /// Reads the columns that `lease` selects.
    fileprivate init(_ row: ResultRow) {
        self.init(
            number: Int(row.integer(0)),
            forwardPath: ForwardPath(
                mailbox: Mailbox(localPart: row.text(1), domain: MailDomain(row.text(2))),
                notify: row.optionalInteger(3).map { Notify(rawValue: UInt8(truncatingIfNeeded: $0)) },
                originalRecipient: row.optionalText(4)
            ),
            progress: Progress(
                attempts: Int(row.integer(5)),
                rounds: Int(row.integer(6)),
                resumeAt: row.optionalText(7),
                deferredSince: row.optionalInteger(8).map(Timestamp.init(microseconds:)),
                ambiguousAt: row.optionalText(9)
            )
        )
    }
}
