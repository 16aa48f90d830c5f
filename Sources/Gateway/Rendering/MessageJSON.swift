package import Delivery
import FoundationEssentials
import MailModel

/// A message as `--json` prints it; the shape is a promise to scripts.
package struct MessageJSON: Encodable {
    private struct RecipientJSON: Encodable {
        let mailbox, state: String
        let dueAt, finishedAt, provider, lastFailure: String?
        let attempts: Int
    }

    private struct OutcomeJSON: Encodable {
        let recipient: String
        let delivered: Bool
        let status, text: String
        let persistence, scope, stage, reason: String?
    }

    private struct AttemptJSON: Encodable {
        let provider, startedAt: String
        let finishedAt, providerMessageID: String?
        let move: String
        let outcomes: [OutcomeJSON]
        let evidence: AttemptEvidence
        /// What the gateway had found out about names at that time.
        let diagnosis: String?
    }

    private let id, from, messageID, subject, arrivedAt, expiresAt, listener, clientName: String
    private let finishedAt, clientAddress, user: String?
    private let size: Int
    private let recipients: [RecipientJSON]
    private let attempts: [AttemptJSON]

    package init(_ message: MessageRecord, diagnoses: [DiagnosisRecord] = []) {
        self.id = message.id.description
        self.from = message.reversePath
        self.messageID = message.messageID
        self.subject = message.subject
        self.arrivedAt = message.arrivedAt.description
        self.expiresAt = message.expiresAt.description
        self.finishedAt = message.finishedAt?.description
        self.listener = message.submission.listener
        self.clientName = message.submission.clientName
        self.clientAddress = message.submission.clientAddress?.description
        self.user = message.submission.user
        self.size = message.size
        self.recipients = message.recipients.map {
            RecipientJSON(
                mailbox: $0.mailbox,
                state: $0.state.rawValue,
                dueAt: $0.dueAt?.description,
                finishedAt: $0.finishedAt?.description,
                provider: $0.provider,
                lastFailure: $0.lastFailure,
                attempts: $0.attempts
            )
        }
        let names = Dictionary(message.recipients.map { ($0.number, $0.mailbox) }) { first, _ in first }
        self.attempts = message.attempts.map { Self.attempt($0, names, diagnoses) }
    }

    private static func attempt(
        _ attempt: AttemptRecord,
        _ names: [Recipient.Number: String],
        _ diagnoses: [DiagnosisRecord]
    ) -> AttemptJSON {
        AttemptJSON(
            provider: attempt.provider,
            startedAt: attempt.startedAt.description,
            finishedAt: attempt.finishedAt?.description,
            providerMessageID: attempt.providerMessageID,
            move: attempt.move,
            outcomes: attempt.outcomes.map {
                OutcomeJSON(
                    recipient: names[$0.recipient] ?? "\($0.recipient)",
                    delivered: $0.delivered,
                    status: $0.status,
                    text: $0.text,
                    persistence: $0.persistence?.rawValue,
                    scope: $0.scope?.rawValue,
                    stage: $0.stage?.rawValue,
                    reason: $0.reason?.rawValue
                )
            },
            evidence: attempt.evidence,
            diagnosis: diagnoses.last { $0.covers(attempt) }?.verdict
        )
    }

    /// Pretty JSON with sorted keys; what a terminal could obey stands there as `\u009b`.
    package static func text(of value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Strings, numbers and arrays of them always encode.
        let data = (try? encoder.encode(value)) ?? Data()
        let text = String(decoding: data, as: UTF8.self)
        // The encoder escapes what JSON must escape (U+0000 to U+001F); outside of strings JSON is ASCII.
        return text.unicodeScalars.map { isHarmless($0) || $0 == "\n" ? String($0) : escaped($0) }.joined()
    }
}

/// A character of the Basic Multilingual Plane as JSON can always write it: `\u009b`.
func escaped(_ scalar: Unicode.Scalar) -> String {
    let hex = String(scalar.value, radix: 16)
    return "\\u" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
}
