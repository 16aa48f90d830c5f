package import Delivery
package import MailModel
import Synchronization

/// A store without a disk: what the queue manager may expect of one, and hooks to look inside and to make it fail.
package final class MemoryStore: Store {
    /// One recipient as it stands.
    package struct Entry: Sendable {
        package var message: QueuedMessage
        package var recipient: Recipient
        package var state: RecipientUpdate.State
        package var isLeased: Bool
        package var interruptedAt: String?
    }

    private struct State {
        var entries: [QueueID: [Entry]] = [:]
        var results: [AttemptResult] = []
        var begun: [AttemptStart] = []
        var breakers: [BreakerKey: BreakerState] = [:]
        var failure: StoreFailure?
        var contentFailure: StoreFailure?
        var contentReads = 0
        var afterLeasing: (@Sendable (LeasedBatch) async -> Void)?
        var beforeFinish: (@Sendable (AttemptResult) async -> Void)?
        var beforeRelease: (@Sendable () async -> Void)?
        var expediteCount = 0
        var putOffCount = 0
        var watchers:
            [(condition: @Sendable ([AttemptResult]) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// All attempts that ended, in order.
    package var results: [AttemptResult] {
        self.state.withLock(\.results)
    }

    /// Attempts that were committed before their effect, apart from the accepting transaction.
    package var begun: [AttemptStart] {
        self.state.withLock(\.begun)
    }

    package func entries(of id: QueueID) -> [Entry] {
        self.state.withLock { $0.entries[id] ?? [] }
    }

    /// Makes every write fail until nil is set.
    package func fail(with failure: StoreFailure?) {
        self.state.withLock { $0.failure = failure }
    }

    /// Makes every reading of content fail until nil is set.
    package func failContent(with failure: StoreFailure?) {
        self.state.withLock { $0.contentFailure = failure }
    }

    /// Has something happen when a batch is leased and the queue has not heard of it yet.
    package func afterLeasing(_ body: (@Sendable (LeasedBatch) async -> Void)?) {
        self.state.withLock { $0.afterLeasing = body }
    }

    /// Has something happen before an attempt's end is on record.
    package func beforeFinish(_ body: (@Sendable (AttemptResult) async -> Void)?) {
        self.state.withLock { $0.beforeFinish = body }
    }

    /// Has something happen before a lease is given back.
    package func beforeRelease(_ body: (@Sendable () async -> Void)?) {
        self.state.withLock { $0.beforeRelease = body }
    }

    /// How often what waits was let go at once.
    package var expediteCount: Int {
        self.state.withLock(\.expediteCount)
    }

    /// How often a recipient that was due was put off instead of being leased.
    package var putOffCount: Int {
        self.state.withLock(\.putOffCount)
    }

    /// How often content was asked for.
    package var contentReads: Int {
        self.state.withLock(\.contentReads)
    }

    /// Returns once the attempts that ended satisfy the condition.
    package func wait(until condition: @escaping @Sendable ([AttemptResult]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isSatisfied = self.state.withLock { state in
                guard !condition(state.results) else {
                    return true
                }
                state.watchers.append((condition, continuation))
                return false
            }
            if isSatisfied {
                continuation.resume()
            }
        }
    }

    /// Puts recipients in as another run of the gateway left them.
    package func insert(
        _ message: QueuedMessage,
        _ recipients: [Recipient],
        dueAt: Timestamp,
        interruptedAt: String? = nil
    ) {
        let entries = recipients.map {
            Entry(
                message: message,
                recipient: $0,
                state: .waiting(dueAt: dueAt),
                isLeased: false,
                interruptedAt: interruptedAt
            )
        }
        self.state.withLock { $0.entries[message.id] = entries }
    }

    package func enqueue(_ message: NewMessage, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void) {
        completion(self.state.withLock { Self.add(message, to: &$0) })
    }

    private static func add(_ new: NewMessage, to state: inout State) -> Result<Void, StoreFailure> {
        if let failure = state.failure {
            return .failure(failure)
        }
        let leased = new.leased
        state.entries[new.message.id] = new.recipients.map {
            let isLeased = leased.contains($0.number)
            return Entry(
                message: new.message,
                recipient: $0,
                state: isLeased ? .active : .waiting(dueAt: new.dueAt),
                isLeased: isLeased
            )
        }
        return .success(())
    }

    package func begin(_ attempt: AttemptStart) async throws(StoreFailure) {
        try self.check()
        self.state.withLock { $0.begun.append(attempt) }
    }

    package func finish(_ result: AttemptResult) async throws(StoreFailure) {
        await self.state.withLock(\.beforeFinish)?(result)
        try self.check()
        let ready = self.state.withLock { state in
            for update in result.updates {
                let index = state.entries[result.start.messageID]?.firstIndex {
                    $0.recipient.number == update.recipient
                }
                guard let index else {
                    continue
                }
                state.entries[result.start.messageID]?[index].state = update.state
                state.entries[result.start.messageID]?[index].recipient.progress = update.progress
                state.entries[result.start.messageID]?[index].isLeased = update.state == .active
                state.entries[result.start.messageID]?[index].interruptedAt = nil
            }
            if let bounce = result.bounce {
                _ = Self.add(bounce, to: &state)
            }
            state.results.append(result)
            let results = state.results
            let ready = state.watchers.filter { $0.condition(results) }
            state.watchers.removeAll { $0.condition(results) }
            return ready
        }
        ready.forEach { $0.continuation.resume() }
    }

    package func leaseDue(
        at now: Timestamp,
        limit: Int,
        putOff: @escaping @Sendable (MailDomain) -> Timestamp?
    ) async throws(StoreFailure) -> LeasedBatch {
        try self.check()
        let batch = self.leaseBatch(at: now, limit: limit, putOff: putOff)
        await self.state.withLock(\.afterLeasing)?(batch)
        return batch
    }

    private func leaseBatch(at now: Timestamp, limit: Int, putOff: (MailDomain) -> Timestamp?) -> LeasedBatch {
        self.state.withLock { state in
            var leased: [LeasedMessage] = []
            let putOffLimit = state.putOffCount + 500
            for id in state.entries.keys.sorted() {
                guard leased.count < limit, state.putOffCount < putOffLimit,
                    let message = state.entries[id]?.first?.message
                else {
                    break
                }
                var lease = LeasedMessage(message: message, recipients: [])
                for index in state.entries[id]?.indices ?? 0..<0 {
                    guard let entry = state.entries[id]?[index], !entry.isLeased, case .waiting(let due) = entry.state,
                        due <= now
                    else {
                        continue
                    }
                    if message.expiresAt > now, let later = putOff(entry.recipient.mailbox.domain) {
                        state.entries[id]?[index].state = .waiting(dueAt: later)
                        state.putOffCount += 1
                        continue
                    }
                    var recipient = entry.recipient
                    recipient.progress.ambiguousAt = entry.interruptedAt ?? recipient.progress.ambiguousAt
                    if recipient.progress.ambiguousAt != nil {
                        recipient.progress.deferredSince = recipient.progress.deferredSince ?? now
                    }
                    state.entries[id]?[index].isLeased = true
                    state.entries[id]?[index].recipient = recipient
                    lease.recipients.append(recipient)
                    lease.interrupted[recipient.number] = entry.interruptedAt
                }
                if !lease.recipients.isEmpty {
                    leased.append(lease)
                }
            }
            return LeasedBatch(messages: leased, hasMore: leased.count >= limit || state.putOffCount >= putOffLimit)
        }
    }

    package func lease(_ id: QueueID) async throws(StoreFailure) -> LeasedMessage? {
        nil
    }

    package func nextDue() async throws(StoreFailure) -> Timestamp? {
        self.state.withLock { state in
            state.entries.values.joined().compactMap { entry in
                guard !entry.isLeased, case .waiting(let due) = entry.state else {
                    return nil
                }
                return due
            }.min()
        }
    }

    package func content(of id: QueueID) async throws(StoreFailure) -> MessageContent {
        let failure = self.state.withLock { state in
            state.contentReads += 1
            return state.contentFailure
        }
        if let failure {
            throw failure
        }
        guard let content = self.entries(of: id).first?.message.content else {
            throw StoreFailure(.missing, "no message \(id)")
        }
        return content
    }

    package func release(_ id: QueueID, recipients: [Recipient.Number], dueAt: Timestamp) async throws(StoreFailure) {
        await self.state.withLock(\.beforeRelease)?()
        self.state.withLock { state in
            for index in state.entries[id]?.indices ?? 0..<0 {
                guard let entry = state.entries[id]?[index], recipients.contains(entry.recipient.number) else {
                    continue
                }
                state.entries[id]?[index].state = .waiting(dueAt: dueAt)
                state.entries[id]?[index].isLeased = false
            }
        }
    }

    package func expedite(_ selection: QueueSelection, at now: Timestamp) async throws(StoreFailure) -> Int {
        self.state.withLock { state in
            state.expediteCount += 1
            var count = 0
            for id in state.entries.keys {
                for index in state.entries[id]?.indices ?? 0..<0 {
                    if case .waiting? = state.entries[id]?[index].state {
                        state.entries[id]?[index].state = .waiting(dueAt: Timestamp(microseconds: 0))
                        count += 1
                    }
                }
            }
            return count
        }
    }

    package func breakers() async throws(StoreFailure) -> [BreakerKey: BreakerState] {
        self.state.withLock(\.breakers)
    }

    package func save(_ breaker: BreakerState?, for key: BreakerKey) async throws(StoreFailure) {
        self.state.withLock { $0.breakers[key] = breaker }
    }

    private func check() throws(StoreFailure) {
        if let failure = self.state.withLock(\.failure) {
            throw failure
        }
    }
}

extension Store {
    /// Leases what is due, for whatever domain.
    package func leaseDue(at now: Timestamp, limit: Int) async throws(StoreFailure) -> [LeasedMessage] {
        try await self.leaseDue(at: now, limit: limit) { _ in nil }.messages
    }
}
