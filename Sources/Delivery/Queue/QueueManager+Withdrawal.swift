import MailModel
import Synchronization

/// How much an operator's change of the queue reached.
package struct Withdrawal: Hashable, Sendable {
    /// Recipients that waited in memory and are held in the store now, unless the change made something else of them.
    package var held = 0
    /// What the change itself counted.
    package var changed = 0
}

extension QueueManager {
    /// How often memory is looked at again for what was between it and the store.
    private static var passes: Int { 4 }
    /// Records that are written at a time.
    private static var batch: Int { 1_000 }

    /// Lets an operator's change of the store reach what waits in memory, too: that is held in the store first.
    ///
    /// What runs is left alone, and nothing is leased until the change is made; what is being leased comes into memory first.
    /// `change` may be called several times.
    /// Throws when the store cannot be written: what could not be held then waits in memory as before.
    package func withdraw(
        _ selection: QueueSelection,
        then change: () async throws(StoreFailure) -> Int
    ) async throws(StoreFailure) -> Withdrawal {
        self.state.withLock { $0.withdrawals += 1 }
        defer {
            self.state.withLock { $0.withdrawals -= 1 }
            self.wake.signal()
        }
        var withdrawal = Withdrawal()
        for pass in 0..<Self.passes {
            let held = try await self.holdWaiting(selection)
            guard pass == 0 || held > 0 else {
                break
            }
            withdrawal.held += held
            withdrawal.changed += try await change()
        }
        return withdrawal
    }

    /// Waits until what is being leased is in the lanes or back in the store; throws when the store does not take it back.
    private func waitForLeasing() async throws(StoreFailure) {
        let failure: StoreFailure? = await withCheckedContinuation { continuation in
            let isLeasing = self.state.withLock { state in
                if state.isLeasing {
                    state.leasingEnds.append(continuation)
                }
                return state.isLeasing
            }
            if !isLeasing {
                continuation.resume(returning: nil)
            }
        }
        if let failure {
            throw failure
        }
    }

    /// The batch is in the lanes, or in the store again.
    func endLeasing() {
        let waiting = self.state.withLock { state in
            state.isLeasing = false
            return state.takeLeasingEnds()
        }
        waiting.forEach { $0.resume(returning: nil) }
    }

    /// Has those hear of it who wait for a leasing that may last as long as the store cannot be written.
    func refuseWithdrawals(because failure: StoreFailure) {
        let waiting = self.state.withLock { $0.takeLeasingEnds() }
        waiting.forEach { $0.resume(returning: failure) }
    }

    private func holdWaiting(_ selection: QueueSelection) async throws(StoreFailure) -> Int {
        var works = try await self.takeWaiting(selection)[...]
        var count = 0
        while !works.isEmpty {
            let results = await self.hold(works.prefix(Self.batch), selection)
            works = works.dropFirst(Self.batch)
            count += results.reduce(0) { $0 + ((try? $1.get()) ?? 0) }
            for case .failure(let failure) in results {
                self.putBack(works)
                throw failure
            }
        }
        return count
    }

    /// Holds what is selected of some works, all at once so that they share their flushes.
    private func hold(_ works: ArraySlice<Work>, _ selection: QueueSelection) async -> [Result<Int, StoreFailure>] {
        await withTaskGroup { group in
            for work in works {
                group.addTask { () async -> Result<Int, StoreFailure> in
                    do throws(StoreFailure) {
                        return .success(try await self.hold(work, selection))
                    } catch {
                        return .failure(error)
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Records that an attempt was not begun and holds what is selected of it; the rest of it becomes a new one.
    private func hold(_ work: Work, _ selection: QueueSelection) async throws(StoreFailure) -> Int {
        let held = work.recipients.filter { selection.contains($0, of: work.message.id) }
        let rest = work.recipients.filter { recipient in !held.contains { $0.number == recipient.number } }
        do {
            let numbers = Set(held.map(\.number))
            let result = self.notBegun(work, .withdrawn) { numbers.contains($0) ? .held : .active }
            try await self.store.finish(result)
        } catch {
            guard error.kind == .missing else {
                self.putBack([work])
                throw error
            }
            self.forget(work, keepsProbes: false)
            return 0
        }
        if !rest.isEmpty {
            self.submit([self.work(work, left: rest)])
        }
        self.forget(work, keepsProbes: !rest.isEmpty)
        return held.count
    }

    /// The same work for fewer recipients, which the store does not know of yet.
    private func work(_ work: Work, left recipients: [Recipient]) -> Work {
        let now = self.clock.wallTime
        var start = work.start
        start.id = self.state.withLock { $0.nextAttemptID(at: now) }
        start.recipients = recipients.map(\.number)
        return Work(
            message: work.message,
            recipients: recipients,
            provider: work.provider,
            start: start,
            isBegun: false,
            lacksContent: work.lacksContent,
            probes: work.probes,
            round: work.round,
            lane: work.lane
        )
    }

    /// Takes what is selected and has not begun out of the lanes; a stop waits until it is on record.
    ///
    /// Nothing begins before: what was being leased would else begin as soon as it is there.
    private func takeWaiting(_ selection: QueueSelection) async throws(StoreFailure) -> [Work] {
        self.state.withLock { $0.pauses += 1 }
        defer {
            self.state.withLock { $0.pauses -= 1 }
            self.dispatch()
        }
        try await self.waitForLeasing()
        return self.state.withLock { state in
            let works = state.ready.removeWaiting { work in
                work.recipients.contains { selection.contains($0, of: work.message.id) }
            }
            state.octetsInMemory -= works.reduce(0) { $0 + $1.message.content.octetsInMemory }
            state.unrecorded += works.count
            return works
        }
    }

    private func putBack(_ works: some Collection<Work>) {
        // In this order: at a stop, what is neither here nor there would be forgotten.
        self.submit(Array(works))
        self.state.withLock { $0.unrecorded -= works.count }
        self.ringWhenStopping()
    }

    private func forget(_ work: Work, keepsProbes: Bool) {
        self.state.withLock { state in
            state.unrecorded -= 1
            if !keepsProbes {
                state.board.endProbe(work.probes)
            }
        }
        self.ringWhenStopping()
    }
}

extension QueueSelection {
    /// Whether a recipient of a message is meant.
    fileprivate func contains(_ recipient: Recipient, of message: QueueID) -> Bool {
        switch self {
        case .all: true
        case .message(let id): id == message
        case .domain(let domain): recipient.mailbox.domain.key == domain.lowercased()
        }
    }
}

extension Failure {
    fileprivate static let withdrawn = Failure.notBegun("an operator held or deleted what waited")
}
