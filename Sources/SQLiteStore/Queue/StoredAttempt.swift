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
        self.outcomes = Self.text(of: outcomes.map { StoredOutcome($0.key, $0.value) })
        self.evidence = Self.text(of: result.report.evidence)
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
        return Self.text(of: recipients.map { StoredOutcome($0, .failed(failure)) })
    }

    static func outcomes(_ text: String) -> [AttemptRecord.RecipientOutcome] {
        (parsed(text, as: [StoredOutcome].self) ?? []).map(\.record)
    }

    /// The evidence of a row; empty when a row of another version or a damaged one cannot be read.
    static func evidence(_ text: String) -> AttemptEvidence {
        parsed(text, as: AttemptEvidence.self) ?? AttemptEvidence()
    }
}

// MARK: - Writing

extension StoredAttempt {
    private static func text(of outcomes: [StoredOutcome]) -> String {
        var writer = JSONWriter()
        writer.array(outcomes) { $1.write(to: &$0) }
        return writer.text
    }

    private static func text(of evidence: AttemptEvidence) -> String {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("remoteHost", evidence.remoteHost)
            writer.member("remoteAddress", evidence.remoteAddress)
            writer.member("tls", evidence.tls)
            writer.member("authentication", evidence.authentication)
            writer.member("reusedConnection", evidence.reusedConnection)
            writer.member("resolution", evidence.resolution)
            writer.member("abandonedHosts", evidence.abandonedHosts)
            writer.key("timings")
            writer.array(evidence.timings) { writer, timing in
                writer.object { writer in
                    writer.member("stage", timing.stage.rawValue)
                    writer.member("milliseconds", timing.milliseconds)
                }
            }
            writer.member("headerRewritten", evidence.headerRewritten)
        }
        return writer.text
    }
}

extension StoredOutcome {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("recipient", Int64(self.recipient))
            writer.member("delivered", self.delivered)
            writer.member("text", self.text)
            writer.member("status", self.status)
            writer.member("persistence", self.persistence)
            writer.member("scope", self.scope)
            writer.member("stage", self.stage)
            writer.member("reason", self.reason)
        }
    }
}

// MARK: - Reading

/// One element of `attempts.outcomes`.
private struct StoredOutcome: Decodable {
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

private func parsed<Value: Decodable>(_ text: String, as type: Value.Type) -> Value? {
    // A row that cannot be read must not hide the rest of its message.
    try? JSONDecoder().decode(type, from: Data(text.utf8))
}
