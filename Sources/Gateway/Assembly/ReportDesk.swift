import Delivery
import MailModel
import MessageFormat

import struct NIOCore.ByteBuffer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Turns failures into delivery status notifications that are queued like any other message (RFC 3464).
struct ReportDesk: Sendable {
    /// The most of a returned message that a report carries when the whole was asked for (`RET=FULL`).
    static let returnedContentLimit = 50 * 1_024
    private static let returnedHeaderLimit = 64 * 1_024

    let hostname: String
    let queueIDs: QueueIDSource
    let expireAfter: Duration

    /// The report to the reverse-path; nil for the null reverse-path, which is never answered (RFC 5321 §6.1).
    func report(
        on message: QueuedMessage,
        failed: [(recipient: Recipient, failure: Failure)],
        evidence: AttemptEvidence
    ) -> NewMessage? {
        guard case .mailbox(let returnPath) = message.reversePath, !failed.isEmpty else {
            return nil
        }
        let id = self.queueIDs.next()
        let now = Timestamp.now
        let report = DeliveryReport(
            hostname: self.hostname,
            returnPath: returnPath,
            id: id,
            composedAt: .civil,
            originalID: message.id,
            originalMessageID: message.messageID,
            originalSubject: message.subject,
            arrivedAt: message.arrivedAt,
            envelopeID: message.parameters.envelopeID,
            recipients: failed.map { Self.status(of: $0.recipient, $0.failure, evidence, at: now) },
            returned: Self.returned(of: message)
        )
        let boundary = "=_hikyaku_\(id)_\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let content = DSNComposer.compose(report, boundary: boundary)
        return self.queued(content, id: id, to: returnPath, about: message, at: now)
    }

    private func queued(
        _ content: ByteBuffer,
        id: QueueID,
        to mailbox: Mailbox,
        about original: QueuedMessage,
        at now: Timestamp
    ) -> NewMessage {
        let isEightBit = content.readableBytesView.contains { $0 >= 0x80 }
        let message = QueuedMessage(
            id: id,
            reversePath: .null,
            parameters: MailParameters(
                body: isEightBit ? .eightBitMIME : nil,
                smtpUTF8: !mailbox.isASCII,
                // RFC 8689 §5: what is told of such a message is protected as the message was.
                requireTLS: original.parameters.requireTLS
            ),
            arrivedAt: now,
            expiresAt: now + self.expireAfter,
            messageID: "<\(id).report@\(self.hostname)>",
            subject: "Undelivered: \(original.subject)",
            content: MessageContent(size: content.readableBytes, isEightBit: isEightBit, storage: .memory(content))
        )
        // A report on a report is never made, and the application did not ask for news of this one.
        let recipient = Recipient(number: 0, forwardPath: ForwardPath(mailbox: mailbox, notify: .never))
        return NewMessage(
            message: message,
            recipients: [recipient],
            submission: SubmissionRecord(listener: "gateway", clientName: self.hostname),
            firstAttempts: [],
            dueAt: now
        )
    }

    private static func status(
        of recipient: Recipient,
        _ failure: Failure,
        _ evidence: AttemptEvidence,
        at now: Timestamp
    ) -> DeliveryReport.RecipientStatus {
        DeliveryReport.RecipientStatus(
            mailbox: recipient.mailbox,
            originalRecipient: recipient.forwardPath.originalRecipient,
            action: .failed,
            status: failure.status.withClass(5),
            text: failure.text,
            isReply: failure.text.first?.isNumber ?? false,
            remoteMTA: evidence.remoteHost,
            lastAttemptAt: now
        )
    }

    /// The whole message where it was asked for and is small, else its header section; that alone under REQUIRETLS
    /// (RFC 8689 §5).
    private static func returned(of message: QueuedMessage) -> DeliveryReport.Returned {
        switch message.content.storage {
        case .memory(let content):
            let mayReturnAll = message.parameters.returnContent == .full && !message.parameters.requireTLS
            if mayReturnAll, content.readableBytes <= self.returnedContentLimit {
                return .content(content)
            }
            return .header(Self.header(of: content))
        case .file(let path):
            return .header(Self.header(of: Self.beginning(of: path)))
        }
    }

    /// Everything before the first empty line, at most `returnedHeaderLimit` octets.
    private static func header(of content: ByteBuffer) -> ByteBuffer {
        let view = content.readableBytesView.prefix(self.returnedHeaderLimit)
        let end = Array("\r\n\r\n".utf8)
        guard let index = view.indices.first(where: { view[$0...].starts(with: end) }) else {
            return ByteBuffer(bytes: view)
        }
        return ByteBuffer(bytes: view[..<(index + 2)])
    }

    /// The first octets of a content file; empty when it cannot be read, since a report without them is still a report.
    private static func beginning(of path: String) -> ByteBuffer {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            return ByteBuffer()
        }
        defer { close(descriptor) }
        var buffer = ByteBuffer()
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: self.returnedHeaderLimit) { space in
            max(0, read(descriptor, space.baseAddress, self.returnedHeaderLimit))
        }
        return buffer
    }
}
