import Delivery
import MailModel
import TestKit

import struct NIOCore.ByteBuffer

/// A queue manager over a store in memory and a clock that stands still, for the tests of this target.
struct QueueFixture {
    let clock = ManualDeliveryClock()
    let store = MemoryStore()

    func manager(
        _ providers: [any Provider],
        onAmbiguous: StrategyChain.OnAmbiguous = .resend,
        breakers: [BreakerKey: BreakerState] = [:],
        configuration: QueueManager.Configuration = .init(concurrency: 4)
    ) -> QueueManager {
        QueueManager(
            configuration: configuration,
            chain: StrategyChain(
                providers: providers.map(\.name),
                fallbackAfter: .seconds(120),
                onAmbiguous: onAmbiguous
            ),
            providers: providers,
            schedule: RetrySchedule(firstDelay: .seconds(30)),
            breakers: BreakerBoard(policy: .init(firstDelay: .seconds(10)), remembered: breakers),
            store: self.store,
            clock: self.clock,
            events: SilentEvents(),
            composeBounce: { message, failed, _ in .report(on: message, failed) }
        )
    }

    /// Runs the manager while the body acts, and then stops it.
    func running(_ manager: QueueManager, _ body: () async throws -> Void) async throws {
        async let run: Void = manager.run()
        try await body()
        manager.stop()
        try await run
    }

    /// Submits as the intake does: plan, commit, take.
    func submit(_ number: Int64, to recipients: [String], _ manager: QueueManager) -> QueueID {
        self.begin(number, to: recipients, manager)()
    }

    /// Plans as the intake does; what is returned commits and takes.
    func begin(_ number: Int64, to recipients: [String], _ manager: QueueManager) -> () -> QueueID {
        let message = QueuedMessage.sample(number, arrivedAt: self.clock.wallTime)
        let recipients = recipients.enumerated().map { Recipient(number: $0, forwardPath: .sample($1)) }
        let plan = manager.plan(message, recipients)
        let new = NewMessage(
            message: message,
            recipients: recipients,
            submission: SubmissionRecord(listener: "test"),
            firstAttempts: plan.firstAttempts,
            planned: plan.planned,
            dueAt: plan.dueAt
        )
        return {
            self.store.enqueue(new) { _ in manager.take(plan) }
            return message.id
        }
    }

    /// Puts a message into the store that is due, as another run left it.
    func insertDue(_ number: Int64, to recipients: [String]) {
        let message = QueuedMessage.sample(number, arrivedAt: self.clock.wallTime)
        let recipients = recipients.enumerated().map { Recipient(number: $0, forwardPath: .sample($1)) }
        self.store.insert(message, recipients, dueAt: message.arrivedAt)
    }

    func states(_ id: QueueID) -> [RecipientUpdate.State] {
        self.store.entries(of: id).map(\.state)
    }
}

struct SilentEvents: DeliveryEvents {
    func attemptEnded(_ result: AttemptResult, of message: QueuedMessage, recipients: [Recipient]) {}
    func movedOn(_ id: QueueID, from: String, to: String?, because failure: Failure) {}
    func breakerOpened(_ key: BreakerKey, _ state: BreakerState) {}
    func breakerClosed(_ key: BreakerKey) {}
    func finished(_ id: QueueID) {}
    func storeTrouble(_ failure: StoreFailure) {}
}

extension ForwardPath {
    static func sample(_ address: String) -> ForwardPath {
        let parts = address.split(separator: "@").map(String.init)
        return ForwardPath(mailbox: Mailbox(localPart: parts[0], domain: MailDomain(parts[1])))
    }
}

extension QueuedMessage {
    static func sample(
        _ number: Int64,
        from reversePath: ReversePath = .mailbox(ForwardPath.sample("sender@app.test").mailbox),
        arrivedAt: Timestamp
    ) -> QueuedMessage {
        let content = ByteBuffer(string: "Subject: x\r\n\r\nx\r\n")
        return QueuedMessage(
            id: QueueID(number: number),
            reversePath: reversePath,
            parameters: .init(),
            arrivedAt: arrivedAt,
            expiresAt: arrivedAt + .seconds(4 * 86_400),
            messageID: "<\(number)@app.test>",
            subject: "x",
            content: MessageContent(size: content.readableBytes, isEightBit: false, storage: .memory(content))
        )
    }
}

extension NewMessage {
    static func report(
        on message: QueuedMessage,
        _ failed: [(recipient: Recipient, failure: Failure)]
    ) -> NewMessage? {
        guard let sender = message.reversePath.mailbox else {
            return nil
        }
        let report = QueuedMessage.sample(message.id.number + 1_000, from: .null, arrivedAt: message.arrivedAt)
        return NewMessage(
            message: report,
            recipients: [Recipient(number: 0, forwardPath: ForwardPath(mailbox: sender))],
            submission: SubmissionRecord(listener: "gateway"),
            firstAttempts: [],
            dueAt: message.arrivedAt
        )
    }
}
