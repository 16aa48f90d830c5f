import Delivery
import MailModel

extension Connection {
    /// The records of messages, without attempts, in the reverse of the order given: newest last.
    func records(_ ids: some BidirectionalCollection<Int64>) throws -> [MessageRecord] {
        let epoch = try self.first("SELECT value FROM meta WHERE key = 'epoch'") { $0.integer(0) } ?? 0
        return try ids.reversed().compactMap { id in
            let recipients = try self.recipients(of: id, epoch: epoch)
            return try self.first(
                """
                SELECT reverse_local_part, reverse_domain, message_id, subject, size, listener, client_address, client_name,
                    user, arrived_at, expires_at, finished_at
                FROM messages WHERE id = ?
                """,
                [.integer(id)]
            ) { row in
                MessageRecord(
                    id: QueueID(number: id),
                    reversePath: ReversePath(localPart: row.optionalText(0), domain: row.text(1)).description,
                    messageID: row.text(2),
                    subject: row.text(3),
                    size: Int(row.integer(4)),
                    submission: SubmissionRecord(
                        listener: row.text(5),
                        clientAddress: row.optionalText(6).flatMap { IPAddress($0) },
                        clientName: row.text(7),
                        user: row.optionalText(8)
                    ),
                    arrivedAt: Timestamp(microseconds: row.integer(9)),
                    expiresAt: Timestamp(microseconds: row.integer(10)),
                    finishedAt: row.optionalInteger(11).map(Timestamp.init(microseconds:)),
                    recipients: recipients,
                    attempts: []
                )
            }
        }
    }

    private func recipients(of id: Int64, epoch: Int64) throws -> [RecipientRecord] {
        try self.rows(
            """
            SELECT number, local_part, domain, state, lease, due_at, finished_at, attempts, provider, last_failure
            FROM recipients WHERE message = ? ORDER BY number
            """,
            [.integer(id)]
        ) { row in
            let state = RecipientRecord.State(row.integer(3), isLeased: row.integer(4) == epoch)
            return RecipientRecord(
                number: Int(row.integer(0)),
                mailbox: "\(row.text(1))@\(row.text(2))",
                state: state,
                dueAt: state == .waiting ? row.optionalInteger(5).map(Timestamp.init(microseconds:)) : nil,
                finishedAt: row.optionalInteger(6).map(Timestamp.init(microseconds:)),
                attempts: Int(row.integer(7)),
                provider: row.optionalText(8),
                lastFailure: row.optionalText(9)
            )
        }
    }

    /// The attempts of a message in the order of their beginning.
    func attempts(of id: QueueID) throws -> [AttemptRecord] {
        try self.rows(
            """
            SELECT id, provider, started_at, finished_at, recipients, outcomes, provider_message_id, evidence, move
            FROM attempts WHERE message = ? ORDER BY started_at, id
            """,
            [.integer(id.number)]
        ) { row in
            AttemptRecord(
                id: row.integer(0),
                provider: row.text(1),
                startedAt: Timestamp(microseconds: row.integer(2)),
                finishedAt: row.optionalInteger(3).map(Timestamp.init(microseconds:)),
                recipients: numbers(row.text(4)),
                outcomes: StoredAttempt.outcomes(row.text(5)),
                providerMessageID: row.optionalText(6),
                evidence: StoredAttempt.evidence(row.text(7)),
                move: row.text(8)
            )
        }
    }

    /// A message as providers see it; nil when it, or its content, is not there.
    func queuedMessage(_ id: QueueID, in directory: StoreDirectory) throws -> QueuedMessage? {
        guard let content = try self.content(of: id, in: directory) else {
            return nil
        }
        return try self.first(
            """
            SELECT reverse_local_part, reverse_domain, body, return_content, envelope_id, flags, message_id, subject,
                arrived_at, expires_at
            FROM messages WHERE id = ?
            """,
            [.integer(id.number)]
        ) { row in
            let flags = MessageFlags(rawValue: row.integer(5))
            return QueuedMessage(
                id: id,
                reversePath: ReversePath(localPart: row.optionalText(0), domain: row.text(1)),
                parameters: MailParameters(
                    body: row.optionalText(2).flatMap(MailParameters.BodyType.init(rawValue:)),
                    smtpUTF8: flags.contains(.smtpUTF8),
                    returnContent: row.optionalText(3).flatMap(MailParameters.ReturnContent.init(rawValue:)),
                    envelopeID: row.optionalText(4),
                    requireTLS: flags.contains(.requireTLS),
                    tlsOptional: flags.contains(.tlsOptional)
                ),
                arrivedAt: Timestamp(microseconds: row.integer(8)),
                expiresAt: Timestamp(microseconds: row.integer(9)),
                messageID: row.text(6),
                subject: row.text(7),
                content: content
            )
        }
    }

    /// The content of a message; nil when the row, the column or the file is not there.
    func content(of id: QueueID, in directory: StoreDirectory) throws -> MessageContent? {
        let row = try self.first("SELECT size, flags FROM messages WHERE id = ?", [.integer(id.number)]) {
            (size: Int($0.integer(0)), flags: MessageFlags(rawValue: $0.integer(1)))
        }
        guard let row else {
            return nil
        }
        let isEightBit = row.flags.contains(.eightBit)
        if row.flags.contains(.contentFile) {
            let path = directory.contentFile(of: id)
            guard exists(path), size(path) == row.size else {
                return nil
            }
            return MessageContent(size: row.size, isEightBit: isEightBit, storage: .file(path: path))
        }
        let sql = "SELECT content FROM contents WHERE message = ?"
        return try self.first(sql, [.integer(id.number)]) { $0.buffer(0) }.map {
            MessageContent(size: row.size, isEightBit: isEightBit, storage: .memory($0))
        }
    }
}

extension ReversePath {
    fileprivate init(localPart: String?, domain: String) {
        self = localPart.map { .mailbox(Mailbox(localPart: $0, domain: MailDomain(domain))) } ?? .null
    }
}

extension RecipientRecord.State {
    /// Reads `recipients.state`; what a dead run was delivering waits.
    fileprivate init(_ number: Int64, isLeased: Bool) {
        switch number {
        case RecipientState.active: self = isLeased ? .active : .waiting
        case RecipientState.held: self = .held
        case RecipientState.delivered: self = .delivered
        case RecipientState.bounced: self = .bounced
        case RecipientState.expired: self = .expired
        case RecipientState.deleted: self = .deleted
        default: self = .waiting
        }
    }
}
