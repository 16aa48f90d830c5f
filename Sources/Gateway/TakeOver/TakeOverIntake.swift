import Delivery
import Logging
import MailModel
import MessageFormat
import NIOCore
import NIOPosix
import SQLiteStore

/// Commits messages of another queue to the store, each once.
struct TakeOverIntake: Sendable {
    let hostname: String
    let expireAfter: Duration
    let queueIDs: QueueIDSource
    let store: MessageStore
    let pool: NIOThreadPool
    let logger: Logger

    /// Returns after the commit; a message that is known already is not queued again.
    func take(_ envelope: TakeOverEnvelope, content: ByteBuffer, at now: Timestamp) async throws -> TakeOverReceipt {
        guard !envelope.recipients.isEmpty, content.readableBytes == envelope.contentLength else {
            throw StartupFailure("the message came without recipients, or not whole")
        }
        let id = self.queueIDs.next()
        let storage = try await self.store(content, of: id)
        let message = self.message(envelope, id: id, content, storage, at: now)
        let new = NewMessage(
            message: message,
            recipients: envelope.forwardPaths.enumerated().map {
                Recipient(number: $0.offset, forwardPath: $0.element)
            },
            submission: SubmissionRecord(
                listener: "take-over",
                clientAddress: envelope.clientAddress.flatMap { IPAddress($0) },
                clientName: envelope.clientName,
                user: envelope.user
            ),
            firstAttempts: [],
            dueAt: now
        )
        let known = try await self.store.takeOver(new, from: envelope.origin, isHeld: envelope.isHeld)
        self.logger.info(
            "\(known): \(known == id ? "taken over" : "had been taken over before")",
            metadata: [
                "origin": "\(envelope.origin)", "from": "\(message.reversePath)",
                "recipients": "\(new.recipients.count)", "size": "\(message.content.size)",
            ]
        )
        return TakeOverReceipt(id: known.description, isNew: known == id)
    }

    /// Memory for what the database holds, a file of the store for the rest.
    private func store(_ content: ByteBuffer, of id: QueueID) async throws -> MessageContent.Storage {
        guard content.readableBytes > ContentFiles.threshold else {
            return .memory(content)
        }
        let files = self.store.contentFiles
        return try await self.pool.runIfActive {
            let file = try files.create(for: id)
            try file.append(content)
            try file.finish()
            return .file(path: file.path)
        }
    }

    // No Received field is added: moving a queue is no transmission (RFC 5321 §4.4), and signatures stay valid.
    private func message(
        _ envelope: TakeOverEnvelope,
        id: QueueID,
        _ content: ByteBuffer,
        _ storage: MessageContent.Storage,
        at now: Timestamp
    ) -> QueuedMessage {
        let facts = TraceFacts(
            clientName: "",
            clientAddress: nil,
            hostname: self.hostname,
            queueID: id,
            recipients: [],
            receivedAt: now
        )
        let header = SubmissionHeader.prepare(content, trace: facts)
        let arrivedAt = min(envelope.arrivedAt, now)
        return QueuedMessage(
            id: id,
            reversePath: envelope.reversePath.map { .mailbox($0.mailbox) } ?? .null,
            parameters: envelope.parameters,
            arrivedAt: arrivedAt,
            expiresAt: Self.expiry(of: arrivedAt, at: now, after: self.expireAfter),
            messageID: header.messageID,
            subject: header.subject,
            content: MessageContent(size: content.readableBytes, isEightBit: envelope.isEightBit, storage: storage)
        )
    }

    /// Counts from the arrival, unless three quarters of that time are gone: then from now.
    ///
    /// Mail that was stuck for days is why somebody takes a queue over; it must not bounce before it was really tried.
    static func expiry(of arrivedAt: Timestamp, at now: Timestamp, after expireAfter: Duration) -> Timestamp {
        let regular = arrivedAt + expireAfter
        return regular - now < expireAfter / 4 ? now + expireAfter : regular
    }
}
