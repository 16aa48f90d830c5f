import Delivery
import MailModel

/// The store as the queue sees it when a test wants the process to die at an instant of a delivery.
struct CrashingStore: Store {
    let store: any Store
    let trigger: CrashTrigger

    func enqueue(_ message: NewMessage, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
        self.store.enqueue(message, completion: completion)
    }

    func begin(_ attempt: AttemptStart) async throws(StoreFailure) {
        try await self.store.begin(attempt)
        self.trigger.reach(.afterBeginBeforeFinalDot)
    }

    func finish(_ result: AttemptResult) async throws(StoreFailure) {
        if result.report.outcomes.values.contains(where: { $0.failure == nil }) {
            self.trigger.reach(.afterFinalDotBeforeOutcome)
        }
        try await self.store.finish(result)
        self.trigger.reach(.afterOutcomeCommit)
    }

    func leaseDue(
        at now: Timestamp,
        limit: Int,
        putOff: @escaping @Sendable (MailDomain) -> Timestamp?
    ) async throws(StoreFailure) -> LeasedBatch {
        try await self.store.leaseDue(at: now, limit: limit, putOff: putOff)
    }

    func lease(_ id: QueueID) async throws(StoreFailure) -> LeasedMessage? {
        try await self.store.lease(id)
    }

    func nextDue() async throws(StoreFailure) -> Timestamp? {
        try await self.store.nextDue()
    }

    func content(of id: QueueID) async throws(StoreFailure) -> MessageContent {
        try await self.store.content(of: id)
    }

    func release(_ id: QueueID, recipients: [Recipient.Number], dueAt: Timestamp) async throws(StoreFailure) {
        try await self.store.release(id, recipients: recipients, dueAt: dueAt)
    }

    func expedite(_ selection: QueueSelection, at now: Timestamp) async throws(StoreFailure) -> Int {
        try await self.store.expedite(selection, at: now)
    }

    func breakers() async throws(StoreFailure) -> [BreakerKey: BreakerState] {
        try await self.store.breakers()
    }

    func save(_ state: BreakerState?, for key: BreakerKey) async throws(StoreFailure) {
        try await self.store.save(state, for: key)
    }
}
