import Delivery
import MailModel

/// The recipients of one message that were leased together; message and content are read outside the transaction.
struct Lease: Sendable {
    var id: QueueID
    var recipients: [Recipient]
    var interrupted: [Recipient.Number: String]
}

extension Connection {
    /// Recipients that one transaction puts off at most: a few milliseconds, in which nobody else commits.
    private static var putOffLimit: Int { 500 }
    /// Octets of content that are leased at a time, for they are read together; one message more may go beyond.
    private static var contentLimit: Int { 8 * 1_024 * 1_024 }

    /// Leases what dead runs had leased, and then what is due, oldest first.
    func leaseDue(
        at now: Timestamp,
        limit: Int,
        putOff: (MailDomain) -> Timestamp?
    ) throws -> (leases: [Lease], hasMore: Bool) {
        guard limit > 0 else {
            return ([], false)
        }
        var batch = DueBatch(limit: limit)
        try self.eachRow(
            "SELECT message FROM recipients INDEXED BY recipients_due WHERE state <= 2 AND lease > 0 AND lease < ?",
            [.integer(self.epoch)]
        ) { row in
            batch.add(QueueID(number: row.integer(0)))
            return !batch.isFull
        }
        if !batch.isFull {
            try self.eachRow(
                """
                SELECT message, number, domain, (SELECT expires_at FROM messages WHERE id = message) > ?1
                FROM recipients INDEXED BY recipients_due
                WHERE state <= 2 AND lease = 0 AND due_at <= ?1 ORDER BY due_at
                """,
                [.integer(now.microseconds)]
            ) { row in
                let id = QueueID(number: row.integer(0))
                if row.integer(3) != 0, let due = putOff(MailDomain(row.text(2))) {
                    batch.putOffs.append((id, row.integer(1), due))
                } else {
                    batch.add(id)
                }
                return !batch.isFull && batch.putOffs.count < Self.putOffLimit
            }
        }
        for (id, number, due) in batch.putOffs {
            try self.run(
                "UPDATE recipients SET due_at = ? WHERE message = ? AND number = ?",
                [.integer(due.microseconds), .integer(id.number), .integer(number)]
            )
        }
        let (leases, isCut) = try self.leaseWhatFits(batch.ids, dueAt: now)
        return (leases, isCut || batch.isFull || batch.putOffs.count >= Self.putOffLimit)
    }

    private func leaseWhatFits(_ ids: [QueueID], dueAt now: Timestamp) throws -> (leases: [Lease], isCut: Bool) {
        var leases: [Lease] = []
        var octets = 0
        for id in ids {
            guard octets < Self.contentLimit else {
                return (leases, true)
            }
            guard let lease = try self.lease(id, dueAt: now) else {
                continue
            }
            leases.append(lease)
            // Not of the content itself: where that is damaged, its message alone is to suffer.
            let size = "SELECT iif(flags & ? = 0, size, 0) FROM messages WHERE id = ?"
            let isFile = SQLValue.integer(MessageFlags.contentFile.rawValue)
            octets += try self.first(size, [isFile, .integer(id.number)]) { Int($0.integer(0)) } ?? 0
        }
        return (leases, false)
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
            var recipient = Recipient(row)
            if recipient.progress.ambiguousAt != nil {
                // Patience with who may have the message begins with the first lease, and is not begun anew by the next.
                recipient.progress.deferredSince = recipient.progress.deferredSince ?? now
            }
            interrupted[recipient.number] = row.optionalText(10)
            return recipient
        }
        guard !recipients.isEmpty else {
            return nil
        }
        for recipient in recipients {
            try self.run(
                "UPDATE recipients SET state = 0, lease = ?, deferred_since = ? WHERE message = ? AND number = ?",
                [
                    .integer(self.epoch), SQLValue(recipient.progress.deferredSince?.microseconds), .integer(id.number),
                    SQLValue(recipient.number),
                ]
            )
        }
        return Lease(id: id, recipients: recipients, interrupted: interrupted)
    }

    /// Notes for its recipients that an attempt of a dead run is open, and closes it as of unknown outcome.
    ///
    /// Their progress is written here, since they may be given back many times before there is another attempt to write it.
    private func closeInterruptedAttempts(of id: QueueID) throws {
        let open = try self.rows(
            "SELECT id, provider, recipients FROM attempts WHERE message = ? AND open = 1 AND epoch < ? ORDER BY id",
            [.integer(id.number), .integer(self.epoch)]
        ) { (id: $0.integer(0), provider: $0.text(1), recipients: numbers($0.text(2))) }
        for attempt in open {
            for number in attempt.recipients {
                try self.run(
                    """
                    UPDATE recipients SET interrupted_at = ?1, ambiguous_at = ?1,
                        deferred_since = CASE WHEN ambiguous_at = ?1 THEN deferred_since END
                    WHERE message = ?2 AND number = ?3 AND state <= 2
                    """,
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

/// Distinct messages that are due, in the order in which they were found, and recipients that are to be due later.
private struct DueBatch {
    let limit: Int
    private(set) var ids: [QueueID] = []
    private var seen: Set<QueueID> = []
    var putOffs: [(id: QueueID, recipient: Int64, due: Timestamp)] = []

    init(limit: Int) {
        self.limit = limit
    }

    var isFull: Bool {
        self.ids.count >= self.limit
    }

    mutating func add(_ id: QueueID) {
        if self.seen.insert(id).inserted {
            self.ids.append(id)
        }
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
