import Delivery
import MailModel

extension Connection {
    /// Records that an attempt is about to have an effect; refuses when one of its recipients was deleted meanwhile.
    func begin(_ attempt: AttemptStart) throws {
        for number in attempt.recipients {
            let state = try self.first(
                "SELECT state FROM recipients WHERE message = ? AND number = ?",
                [.integer(attempt.messageID.number), SQLValue(number)]
            ) { $0.integer(0) }
            guard let state, state <= RecipientState.held else {
                throw StoreFailure(.missing, "recipient \(number) of \(attempt.messageID) is finished or was deleted")
            }
        }
        try self.insertStart(attempt)
    }

    /// Records what an attempt brought and where its recipients stand now.
    func finish(_ result: AttemptResult, _ attempt: StoredAttempt) throws {
        let id = result.start.messageID
        let end: [SQLValue] = [
            .integer(result.finishedAt.microseconds),
            .text(attempt.outcomes),
            .text(attempt.evidence),
            SQLValue(attempt.providerMessageID),
            .text(result.move),
        ]
        let updated = try self.run(
            """
            UPDATE attempts SET open = 0, finished_at = ?, outcomes = ?, evidence = ?, provider_message_id = ?, move = ?
            WHERE message = ? AND id = ?
            """,
            end + [.integer(id.number), .integer(result.start.id)]
        )
        if updated == 0 {
            try self.insert(result.start, end)
        }
        for update in result.updates {
            try self.apply(update, to: id, at: result.finishedAt)
        }
    }

    /// Inserts the row of an attempt that is over and was never begun, as where it failed before it had an effect.
    private func insert(_ attempt: AttemptStart, _ end: [SQLValue]) throws {
        let written = try self.run(
            "INSERT INTO attempts SELECT id, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ? FROM messages WHERE id = ?",
            [
                .integer(attempt.id),
                .text(attempt.provider),
                .text(numbersText(attempt.recipients)),
                .integer(self.epoch),
                .integer(attempt.startedAt.microseconds),
            ] + end + [.integer(attempt.messageID.number)]
        )
        guard written > 0 else {
            throw StoreFailure(.missing, "\(attempt.messageID) is not in the store")
        }
    }

    /// Finishes a message of which no recipient is unfinished, and removes its content from the table unless it is kept.
    ///
    /// Returns whether the message is finished now and its content, in no table, is a file, which can only go after the
    /// commit.
    func closeIfFinished(_ id: QueueID, at moment: Timestamp, keepContent: Bool) throws -> Bool {
        let finished = try self.run(
            """
            UPDATE messages SET finished_at = ?1 WHERE id = ?2 AND finished_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM recipients WHERE message = ?2 AND state <= 2)
            """,
            [.integer(moment.microseconds), .integer(id.number)]
        )
        guard finished > 0, !keepContent else {
            return false
        }
        return try self.run("DELETE FROM contents WHERE message = ?", [.integer(id.number)]) == 0
    }

    /// A recipient that an operator deleted stays deleted, unless it was delivered after all.
    private func apply(_ update: RecipientUpdate, to id: QueueID, at moment: Timestamp) throws {
        let row = RecipientColumns(update.state, epoch: self.epoch, at: moment)
        let limit = row.state == RecipientState.delivered ? RecipientState.deleted : RecipientState.held
        try self.run(
            """
            UPDATE recipients SET state = ?, lease = ?, due_at = CASE WHEN ?1 = 0 THEN due_at ELSE ?3 END,
                provider = ?, finished_at = ?, attempts = ?, rounds = ?, resume_at = ?, deferred_since = ?,
                ambiguous_at = ?, interrupted_at = NULL,
                last_failure = CASE WHEN ?1 = 3 THEN NULL ELSE coalesce(?, last_failure) END
            WHERE message = ? AND number = ? AND state <= ?
            """,
            [
                .integer(row.state),
                .integer(row.lease),
                SQLValue(row.dueAt),
                SQLValue(row.provider),
                SQLValue(row.finishedAt),
                SQLValue(update.progress.attempts),
                SQLValue(update.progress.rounds),
                SQLValue(update.progress.resumeAt),
                SQLValue(update.progress.deferredSince?.microseconds),
                SQLValue(update.progress.ambiguousAt),
                SQLValue(update.lastFailure),
                .integer(id.number),
                SQLValue(update.recipient),
                .integer(limit),
            ]
        )
    }
}

/// The columns that say where a recipient stands.
private struct RecipientColumns {
    var state: Int64
    var lease: Int64 = 0
    var dueAt: Int64?
    var provider: String?
    var finishedAt: Int64?

    init(_ state: RecipientUpdate.State, epoch: Int64, at moment: Timestamp) {
        switch state {
        case .active:
            self.state = RecipientState.active
            self.lease = epoch
        case .waiting(let dueAt):
            self.state = RecipientState.waiting
            self.dueAt = dueAt.microseconds
        case .held:
            self.state = RecipientState.held
        case .delivered(let provider):
            self.state = RecipientState.delivered
            self.provider = provider
            self.finishedAt = moment.microseconds
        case .bounced:
            self.state = RecipientState.bounced
            self.finishedAt = moment.microseconds
        case .expired:
            self.state = RecipientState.expired
            self.finishedAt = moment.microseconds
        }
    }
}
