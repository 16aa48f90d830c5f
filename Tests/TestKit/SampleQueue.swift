package import Delivery
package import MailModel

import struct NIOCore.ByteBuffer

/// Messages, attempts and outcomes for tests that need some and do not care which.
package enum SampleQueue {
    /// 2026-11-24T10:17:03Z, the moment at which samples arrive.
    package static let moment = Timestamp(seconds: 1_795_515_423)

    /// A queue id; a higher number is a later one.
    package static func id(_ number: Int64) -> QueueID {
        QueueID(number: QueueID.first(at: self.moment).number + number)
    }

    /// A message from app@example.org with its content in memory.
    package static func message(
        _ number: Int64,
        content: String = "Subject: hello\r\n\r\nworld\r\n",
        reversePath: ReversePath = .mailbox(Mailbox(localPart: "app", domain: MailDomain("example.org")))
    ) -> QueuedMessage {
        self.message(
            number,
            reversePath: reversePath,
            content: MessageContent(
                size: content.utf8.count,
                isEightBit: false,
                storage: .memory(ByteBuffer(string: content))
            )
        )
    }

    /// A message with any content.
    package static func message(
        _ number: Int64,
        reversePath: ReversePath = .null,
        content: MessageContent
    ) -> QueuedMessage {
        QueuedMessage(
            id: self.id(number),
            reversePath: reversePath,
            parameters: MailParameters(
                body: .eightBitMIME,
                returnContent: .headers,
                envelopeID: "e+2B1",
                requireTLS: true,
                tlsOptional: true
            ),
            arrivedAt: self.moment,
            expiresAt: self.moment + .seconds(86_400),
            messageID: "<\(number)@app.example.org>",
            subject: "確認コード",
            content: content
        )
    }

    /// A recipient at example.net: `user0`, `user1`, ...
    package static func recipient(_ number: Int, domain: String = "example.net") -> Recipient {
        Recipient(
            number: number,
            forwardPath: ForwardPath(
                mailbox: Mailbox(localPart: "User\(number)", domain: MailDomain(domain)),
                notify: [.failure, .delay],
                originalRecipient: "rfc822;user\(number)@example.net"
            )
        )
    }

    /// A message ready to be enqueued, due at once and leased by nobody.
    package static func new(
        _ number: Int64,
        recipients: Int = 1,
        domain: String = "example.net",
        firstAttempts: [AttemptStart] = [],
        planned: [Recipient.Number] = []
    ) -> NewMessage {
        NewMessage(
            message: self.message(number),
            recipients: (0..<recipients).map { self.recipient($0, domain: domain) },
            submission: SubmissionRecord(
                listener: "smtp",
                clientAddress: IPAddress("192.0.2.9"),
                clientName: "app.example.org",
                user: "app"
            ),
            firstAttempts: firstAttempts,
            planned: planned,
            dueAt: self.moment
        )
    }

    /// An attempt by the provider `gmail`.
    package static func start(_ attempt: Int64, of number: Int64, recipients: [Recipient.Number] = [0]) -> AttemptStart
    {
        AttemptStart(
            id: self.id(attempt).number,
            messageID: self.id(number),
            provider: "gmail",
            recipients: recipients,
            startedAt: self.moment + .seconds(attempt)
        )
    }

    /// The end of an attempt that delivered to all its recipients.
    package static func delivered(_ start: AttemptStart) -> AttemptResult {
        let acceptance = Acceptance(reply: Reply(250, .init(2, 0, 0), "OK gsmtp"), providerMessageID: "abc")
        var evidence = AttemptEvidence(remoteHost: "smtp.gmail.com", remoteAddress: "192.0.2.1:587")
        evidence.timings = [.init(stage: .connect, milliseconds: 40)]
        return AttemptResult(
            start: start,
            finishedAt: start.startedAt + .seconds(1),
            report: AttemptReport(
                outcomes: Dictionary(uniqueKeysWithValues: start.recipients.map { ($0, .delivered(acceptance)) }),
                evidence: evidence
            ),
            updates: start.recipients.map {
                RecipientUpdate(
                    recipient: $0,
                    state: .delivered(provider: start.provider),
                    progress: .init(attempts: 1)
                )
            },
            move: "delivered"
        )
    }

    /// The end of an attempt that failed for all its recipients, which then stand as the state says.
    package static func failed(_ start: AttemptStart, state: RecipientUpdate.State) -> AttemptResult {
        let failure = Failure(
            .transient,
            .destination,
            .resolve,
            status: .init(4, 4, 3),
            text: "no DNS source could answer",
            reason: .dnsUnavailable
        )
        return AttemptResult(
            start: start,
            finishedAt: start.startedAt + .seconds(1),
            report: AttemptReport(
                outcomes: Dictionary(uniqueKeysWithValues: start.recipients.map { ($0, .failed(failure)) })
            ),
            updates: start.recipients.map {
                RecipientUpdate(
                    recipient: $0,
                    state: state,
                    progress: .init(attempts: 1, rounds: 1, resumeAt: "sendgrid", deferredSince: self.moment),
                    lastFailure: "4.4.3 no DNS source could answer"
                )
            },
            move: "moved on: no DNS source could answer"
        )
    }
}
