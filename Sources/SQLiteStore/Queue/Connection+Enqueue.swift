import Delivery
import MailModel

extension Connection {
    /// Inserts a message with its recipients, its content and its first attempts.
    func insert(_ new: NewMessage, files: ContentFiles) throws {
        let message = new.message
        try self.insertMessage(message, submission: new.submission)
        switch message.content.storage {
        case .memory(let buffer):
            try self.run("INSERT INTO contents VALUES (?, ?)", [.integer(message.id.number), .buffer(buffer)])
        case .file(let path):
            guard path == files.directory.contentFile(of: message.id), exists(path) else {
                throw StoreFailure(.missing, "\(path) is not the content file of \(message.id)")
            }
            try files.syncDirectory()
        }
        let leased = new.leased
        for recipient in new.recipients {
            try self.insertRecipient(
                recipient,
                of: message.id,
                isLeased: leased.contains(recipient.number),
                dueAt: new.dueAt
            )
        }
        for attempt in new.firstAttempts {
            try self.insertStart(attempt)
        }
    }

    private func insertMessage(_ message: QueuedMessage, submission: SubmissionRecord) throws {
        var flags: MessageFlags = []
        if message.parameters.smtpUTF8 {
            flags.insert(.smtpUTF8)
        }
        if message.parameters.requireTLS {
            flags.insert(.requireTLS)
        }
        if message.parameters.tlsOptional {
            flags.insert(.tlsOptional)
        }
        if message.content.isEightBit {
            flags.insert(.eightBit)
        }
        if case .file = message.content.storage {
            flags.insert(.contentFile)
        }
        try self.run(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            [
                .integer(message.id.number),
                SQLValue(message.reversePath.mailbox?.localPart),
                SQLValue(message.reversePath.mailbox?.domain.text),
                SQLValue(message.parameters.body?.rawValue),
                SQLValue(message.parameters.returnContent?.rawValue),
                SQLValue(message.parameters.envelopeID),
                .integer(flags.rawValue),
                .text(message.messageID),
                .text(message.subject),
                SQLValue(message.content.size),
                .text(submission.listener),
                SQLValue(submission.clientAddress?.description),
                .text(submission.clientName),
                SQLValue(submission.user),
                .integer(message.arrivedAt.microseconds),
                .integer(message.expiresAt.microseconds),
            ]
        )
    }

    private func insertRecipient(_ recipient: Recipient, of id: QueueID, isLeased: Bool, dueAt: Timestamp) throws {
        try self.run(
            """
            INSERT INTO recipients (message, number, local_part, domain, notify, original_recipient, state, lease, due_at,
                attempts, rounds, resume_at, deferred_since, ambiguous_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .integer(id.number),
                SQLValue(recipient.number),
                .text(recipient.mailbox.localPart),
                .text(recipient.mailbox.domain.text),
                SQLValue(recipient.forwardPath.notify.map { Int64($0.rawValue) }),
                SQLValue(recipient.forwardPath.originalRecipient),
                .integer(isLeased ? RecipientState.active : RecipientState.waiting),
                .integer(isLeased ? self.epoch : 0),
                .integer(dueAt.microseconds),
                SQLValue(recipient.progress.attempts),
                SQLValue(recipient.progress.rounds),
                SQLValue(recipient.progress.resumeAt),
                SQLValue(recipient.progress.deferredSince?.microseconds),
                SQLValue(recipient.progress.ambiguousAt),
            ]
        )
    }

    /// Inserts the row of an attempt that may now have an effect; one that is there already stays as it is.
    func insertStart(_ attempt: AttemptStart) throws {
        try self.run(
            """
            INSERT OR IGNORE INTO attempts (message, id, provider, recipients, epoch, open, started_at, move)
            VALUES (?, ?, ?, ?, ?, 1, ?, '')
            """,
            [
                .integer(attempt.messageID.number),
                .integer(attempt.id),
                .text(attempt.provider),
                .text(numbersText(attempt.recipients)),
                .integer(self.epoch),
                .integer(attempt.startedAt.microseconds),
            ]
        )
    }
}

/// Recipient numbers as they stand in `attempts.recipients`: `0 1 5`.
func numbersText(_ numbers: [Recipient.Number]) -> String {
    numbers.map(String.init).joined(separator: " ")
}

/// Reads what `numbersText` wrote; anything else in it is left out.
func numbers(_ text: String) -> [Recipient.Number] {
    text.split(separator: " ").compactMap { Int($0) }
}
