package import Delivery
import MailModel
import Synchronization

/// A way out that says what a test wrote for it, and remembers what it was given.
package final class ScriptedProvider: Provider {
    package typealias Script = @Sendable (_ attempt: Int, _ recipient: Recipient) -> Outcome

    package let name: String
    package let grouping: RecipientGrouping
    package let carriesNullReversePath: Bool
    private let script: Script
    private let given = Mutex<[[String]]>([])

    package init(
        _ name: String,
        grouping: RecipientGrouping = .together,
        carriesNullReversePath: Bool = true,
        script: @escaping Script
    ) {
        self.name = name
        self.grouping = grouping
        self.carriesNullReversePath = carriesNullReversePath
        self.script = script
    }

    /// One that accepts everything.
    package convenience init(accepting name: String, grouping: RecipientGrouping = .together) {
        self.init(name, grouping: grouping) { _, _ in .accepted }
    }

    /// The recipients of each attempt so far.
    package var attempts: [[String]] {
        self.given.withLock { $0 }
    }

    package func attempt(
        _ message: QueuedMessage,
        to recipients: [Recipient],
        deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> AttemptReport {
        let number = self.given.withLock { given in
            given.append(recipients.map(\.mailbox.description))
            return given.count
        }
        let outcomes = recipients.map { ($0.number, self.script(number, $0)) }
        do {
            try await beforeCommit()
        } catch {
            let failure = Failure(
                .transient,
                .local,
                .commit,
                status: EnhancedStatusCode(4, 3, 0),
                text: "store",
                reason: .localTrouble
            )
            return AttemptReport(failure: failure, for: recipients)
        }
        return AttemptReport(outcomes: Dictionary(outcomes) { first, _ in first })
    }
}

extension Outcome {
    /// A plain acceptance.
    package static let accepted = Outcome.delivered(Acceptance(reply: Reply(250, EnhancedStatusCode(2, 0, 0), "Ok")))
}

extension Failure {
    /// A failure of which only what the chain reads matters.
    package static func sample(
        _ persistence: Persistence,
        _ scope: Scope,
        _ stage: Stage = .rcpt,
        reason: Reason = .protocolError,
        retryAfter: Duration? = nil,
        isWaitGuessed: Bool = false
    ) -> Failure {
        Failure(
            persistence,
            scope,
            stage,
            status: EnhancedStatusCode(persistence == .permanent ? 5 : 4, 0, 0),
            text: "\(persistence) \(scope)",
            reason: reason,
            retryAfter: retryAfter,
            isWaitGuessed: isWaitGuessed
        )
    }
}
