import Delivery
import Foundation
import MailModel

/// An attempt's outcome and evidence as they are kept: JSON, since only people and `trace` read them again.
struct StoredAttempt: Sendable {
    var outcomes: String
    var evidence: String
    var providerMessageID: String?

    init(_ result: AttemptResult) {
        let outcomes = result.report.outcomes.sorted { $0.key < $1.key }
        self.outcomes = json(outcomes.map { StoredOutcome($0.key, $0.value) })
        self.evidence = json(result.report.evidence)
        self.providerMessageID =
            outcomes.lazy.compactMap { _, outcome in
                switch outcome {
                case .delivered(let acceptance): acceptance.providerMessageID
                case .failed: nil
                }
            }.first
    }

    /// The outcomes of an attempt whose process died: nobody knows.
    static func interrupted(_ recipients: [Recipient.Number]) -> String {
        let failure = Failure(
            .ambiguous,
            .message,
            .commit,
            status: .init(4, 4, 2),
            text: "the gateway stopped while the attempt ran; whether it was delivered is unknown",
            reason: .interrupted
        )
        return json(recipients.map { StoredOutcome($0, .failed(failure)) })
    }

    static func outcomes(_ text: String) -> [AttemptRecord.RecipientOutcome] {
        (parsed(text, as: [StoredOutcome].self) ?? []).map(\.record)
    }

    /// The evidence of a row; empty when a row of another version or a damaged one cannot be read.
    static func evidence(_ text: String) -> AttemptEvidence {
        parsed(text, as: AttemptEvidence.self) ?? AttemptEvidence()
    }
}

/// One element of `attempts.outcomes`.
private struct StoredOutcome: Codable {
    var recipient: Int
    var delivered: Bool
    var text: String
    var status: String
    var persistence: String?
    var scope: String?
    var stage: String?
    var reason: String?

    init(_ recipient: Recipient.Number, _ outcome: Outcome) {
        self.recipient = recipient
        switch outcome {
        case .delivered(let acceptance):
            self.delivered = true
            self.text = acceptance.reply.description
            self.status = acceptance.reply.enhanced?.description ?? ""
        case .failed(let failure):
            self.delivered = false
            self.text = failure.text
            self.status = failure.status.description
            self.persistence = failure.persistence.rawValue
            self.scope = failure.scope.rawValue
            self.stage = failure.stage.rawValue
            self.reason = failure.reason.rawValue
        }
    }

    var record: AttemptRecord.RecipientOutcome {
        .init(
            recipient: self.recipient,
            delivered: self.delivered,
            text: self.text,
            status: self.status,
            persistence: self.persistence.flatMap(Failure.Persistence.init(rawValue:)),
            scope: self.scope.flatMap(Failure.Scope.init(rawValue:)),
            stage: self.stage.flatMap(Failure.Stage.init(rawValue:)),
            reason: self.reason.flatMap(Failure.Reason.init(rawValue:))
        )
    }
}

private func json(_ value: some Encodable) -> String {
    // Strings, numbers and booleans only: the encoder has nothing to refuse.
    guard let data = try? JSONEncoder().encode(value) else {
        return ""
    }
    return String(decoding: data, as: UTF8.self)
}

private func parsed<Value: Decodable>(_ text: String, as type: Value.Type) -> Value? {
    // A row that cannot be read must not hide the rest of its message.
    try? JSONDecoder().decode(type, from: Data(text.utf8))
}
