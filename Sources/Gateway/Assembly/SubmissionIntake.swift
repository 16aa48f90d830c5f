import Delivery
import Logging
import MailModel
import MessageFormat
import SMTPServer
import SQLiteStore
import Synchronization

import struct NIOCore.ByteBuffer

/// Takes complete messages from the listeners, commits them, and hands them to the queue.
struct SubmissionIntake: SubmissionSink {
    let hostname: String
    let expireAfter: Duration
    let queueIDs: QueueIDSource
    let store: MessageStore
    let queue: QueueManager

    func nextQueueID() -> QueueID {
        self.queueIDs.next()
    }

    func prepareHeader(_ header: ByteBuffer, of transaction: TransactionFacts) -> HeaderVerdict {
        let client = transaction.client
        let trace = TraceFacts(
            clientName: client.heloName,
            clientAddress: client.address,
            hostname: self.hostname,
            isExtended: client.isExtended,
            isTLS: client.tlsDescription != nil,
            isAuthenticated: client.user != nil,
            isSMTPUTF8: transaction.envelope.parameters.smtpUTF8,
            queueID: transaction.queueID,
            recipients: transaction.envelope.forwardPaths.map(\.mailbox),
            receivedAt: transaction.receivedAt
        )
        let prepared = SubmissionHeader.prepare(header, trace: trace)
        guard !prepared.isLooping else {
            let text = "mail loop: the message has passed \(prepared.receivedCount) hosts already"
            return .refused(Reply(554, EnhancedStatusCode(5, 4, 6), text))
        }
        var whole = prepared.bytes
        if prepared.replacedLength < header.readableBytes {
            // A line that is no field ends the header section early: it and what follows are the beginning of the body.
            var body = header
            body.moveReaderIndex(forwardBy: prepared.replacedLength)
            whole.writeBuffer(&body)
        }
        return .prepared(
            whole,
            messageID: prepared.messageID,
            subject: prepared.subject,
            isTLSOptional: prepared.isTLSOptional
        )
    }

    func openSpool(for id: QueueID) throws -> any ContentSpool {
        do {
            return SpooledContent(try self.store.contentFiles.create(for: id))
        } catch {
            throw SpoolError(error)
        }
    }

    func accept(_ submission: Submission, completion: @escaping @Sendable (SubmissionVerdict) -> Void) {
        let message = self.message(of: submission)
        let recipients = submission.envelope.forwardPaths.enumerated().map {
            Recipient(number: $0.offset, forwardPath: $0.element)
        }
        let plan = self.queue.plan(message, recipients)
        let client = submission.client
        let new = NewMessage(
            message: message,
            recipients: recipients,
            submission: SubmissionRecord(
                listener: client.listener,
                clientAddress: client.address,
                clientName: client.heloName,
                user: client.user
            ),
            firstAttempts: plan.firstAttempts,
            planned: plan.planned,
            dueAt: plan.dueAt
        )
        let queue = self.queue
        self.store.enqueue(new) { result in
            switch result {
            case .success:
                completion(.accepted)
                queue.take(plan)
            case .failure(let failure):
                queue.drop(plan)
                if case .spooled(let spool) = submission.content {
                    spool.discard()
                }
                completion(.refused(failure.reply))
            }
        }
    }

    private func message(of submission: Submission) -> QueuedMessage {
        let storage: MessageContent.Storage
        switch submission.content {
        case .memory(let buffer): storage = .memory(buffer)
        case .spooled(let spool): storage = .file(path: spool.path)
        }
        let now = Timestamp.now
        var parameters = submission.envelope.parameters
        parameters.tlsOptional = submission.isTLSOptional
        return QueuedMessage(
            id: submission.queueID,
            reversePath: submission.envelope.reversePath,
            parameters: parameters,
            arrivedAt: now,
            expiresAt: now + self.expireAfter,
            messageID: submission.messageID,
            subject: submission.subject,
            content: MessageContent(size: submission.size, isEightBit: submission.isEightBit, storage: storage)
        )
    }
}

/// A content file of the store as the listener knows it.
///
/// The listener calls one method at a time; the mutex makes that visible to the compiler.
private final class SpooledContent: ContentSpool {
    let path: String
    private let file: Mutex<ContentFile>

    init(_ file: sending ContentFile) {
        self.path = file.path
        self.file = Mutex(file)
    }

    func append(_ bytes: ByteBuffer) throws {
        try self.file.withLock { file in
            do throws(StoreFailure) {
                try file.append(bytes)
            } catch {
                throw SpoolError(error)
            }
        }
    }

    func finish() throws {
        try self.file.withLock { file in
            do throws(StoreFailure) {
                try file.finish()
            } catch {
                throw SpoolError(error)
            }
        }
    }

    func discard() {
        self.file.withLock { $0.discard() }
    }
}

extension SpoolError {
    fileprivate init(_ failure: StoreFailure) {
        self = failure.kind == .full ? .noSpace : .failed
    }
}

extension StoreFailure {
    /// What the client reads: always transient, since the message is as good as it was.
    fileprivate var reply: Reply {
        switch self.kind {
        case .full:
            Reply(452, EnhancedStatusCode(4, 3, 1), "insufficient system storage")
        case .closed:
            Reply(421, EnhancedStatusCode(4, 3, 2), "the gateway is shutting down, try again")
        case .busy, .broken, .missing:
            Reply(451, EnhancedStatusCode(4, 3, 0), "the message cannot be stored now, try again")
        }
    }
}
