import MailModel
import Synchronization

extension QueueManager {
    /// Brings what falls due from the store into the lanes, as long as there is room.
    func pollStore() async {
        while !Task.isCancelled, !self.isStopping {
            let began = self.clock.now
            do {
                let pause = try await self.leaseDue()
                await self.sleep(until: began + pause, orUntil: self.wake)
            } catch {
                self.events.storeTrouble(error)
                await self.sleep(until: self.clock.now + .seconds(1), orUntil: self.wake)
            }
        }
    }

    /// Leases one batch and returns how long nothing is due, counted from its beginning.
    private func leaseDue() async throws(StoreFailure) -> Duration {
        let now = self.clock.wallTime
        let (room, closedUntil) = self.state.withLock { state in
            let room = state.withdrawals > 0 ? 0 : self.room(in: state, at: now)
            let closedUntil = state.board.earliestUse(of: self.chain.providers, at: now)
            state.isLeasing = room > 0 && closedUntil == nil
            return (room, closedUntil)
        }
        if let closedUntil {
            // No way out may be used at all: leave everything where it is until one may.
            return min(max(closedUntil - now, .milliseconds(50)), .seconds(60))
        }
        guard room > 0 else {
            return .milliseconds(50)
        }
        guard try await !self.leaseBatch(of: min(room, 500), at: now) else {
            return .zero
        }
        let next = try await self.store.nextDue()
        return next.map { min(max($0 - now, .milliseconds(10)), .seconds(60)) } ?? .seconds(60)
    }

    /// Brings one batch from the store into the lanes, or back; whether more is due.
    private func leaseBatch(of limit: Int, at now: Timestamp) async throws(StoreFailure) -> Bool {
        defer { self.endLeasing() }
        let closings = self.state.withLock { state in
            state.crowd.beginLeasing(at: now)
            return state.board.closings
        }
        let leased = try await self.store.leaseDue(at: now, limit: limit) { domain in
            self.state.withLock { self.putOff(domain, at: now, &$0) }
        }
        var given: [(id: QueueID, rest: Unassigned)] = []
        for message in leased.messages {
            let rest = await self.start(message, at: now)
            if !rest.recipients.isEmpty {
                given.append((message.message.id, rest))
            }
        }
        await self.giveBack(given, at: now)
        if self.state.withLock({ $0.board.closings != closings }) {
            // A way that opened meanwhile has let go what waited, before these did.
            for (id, _) in given {
                _ = try await self.store.expedite(.message(id), at: now)
            }
        }
        return leased.hasMore
    }

    /// How many messages there is room for.
    ///
    /// What is due goes into one lane when the first open way takes all destinations together: more than `admit` lets into that
    /// lane would only be leased to be given back.
    private func room(in state: State, at now: Timestamp) -> Int {
        let free = self.freeCount(in: state)
        guard let lane = self.commonLane(in: state, at: now) else {
            return free
        }
        // Each that is admitted leaves one less free, too.
        return (free - state.ready.waiting(in: lane) + 1) / 2
    }

    /// The lane that all fresh mail goes into, where the first open way takes all destinations together.
    func commonLane(in state: State, at now: Timestamp) -> ReadyQueue<Work>.Lane? {
        let open = self.providers.first { state.board.earliestUse(of: $0.name, at: now) == nil }
        guard let open, open.grouping == .together else {
            return nil
        }
        return .init(provider: open.name, destination: nil)
    }

    /// Hands a leased message to the lanes; gives those for whom there is no way or no room now.
    private func start(_ leased: LeasedMessage, at now: Timestamp) async -> Unassigned {
        let isHeld = self.chain.onAmbiguous == .hold
        let doubtful = leased.recipients.filter { isHeld && leased.interrupted[$0.number] != nil }
        if !doubtful.isEmpty {
            await self.settle(leased.message, doubtful, .interrupted, at: now) { recipient in
                var progress = recipient.progress
                // Patience begins when it is released.
                progress.deferredSince = nil
                return RecipientUpdate(
                    recipient: recipient.number,
                    state: .held,
                    progress: progress,
                    lastFailure: "4.4.2 the gateway stopped while this was being sent; it may have been accepted"
                )
            }
        }
        let wanted = leased.recipients.filter { recipient in !doubtful.contains { $0.number == recipient.number } }
        let (works, rest) = self.state.withLock { state in
            let (works, rest) = self.assignWhatFits(leased.message, wanted, isBegun: false, at: now, &state)
            return (self.leavingContent(of: works, in: state), rest)
        }
        self.submit(works)
        if !rest.recipients.isEmpty, now >= leased.message.expiresAt {
            await self.expire(leased.message, rest.recipients, at: now)
            return Unassigned(recipients: [], until: nil)
        }
        let latest = leased.message.expiresAt
        return Unassigned(recipients: rest.recipients, until: rest.until.map { min($0, latest) })
    }

    /// Gives recipients back to the store, all at once so that they share its flushes.
    private func giveBack(_ given: [(id: QueueID, rest: Unassigned)], at now: Timestamp) async {
        await withDiscardingTaskGroup { group in
            for (id, rest) in given {
                let dueAt = max(rest.until ?? now + self.schedule.outageDelay, now + .milliseconds(100))
                group.addTask { await self.giveBack(id, rest.recipients, dueAt: dueAt) }
            }
        }
    }

    /// Tries until the store takes it: what stays leased would wait for the next start.
    private func giveBack(_ id: QueueID, _ recipients: [Recipient], dueAt: Timestamp) async {
        _ = await self.persist { store throws(StoreFailure) in
            try await store.release(id, recipients: recipients.map(\.number), dueAt: dueAt)
        }
    }

    /// The time is over while every way is closed: bounces without a further attempt.
    private func expire(_ message: QueuedMessage, _ recipients: [Recipient], at now: Timestamp) async {
        await self.settle(message, recipients, .expiredWhileClosed, at: now) { recipient in
            RecipientUpdate(
                recipient: recipient.number,
                state: .expired,
                progress: recipient.progress,
                lastFailure: "5.4.7 \(Failure.expiredWhileClosed.text)"
            )
        }
    }

    /// Records a decision of the gateway itself as an attempt of its own, so that the trace tells of it.
    private func settle(
        _ message: QueuedMessage,
        _ recipients: [Recipient],
        _ failure: Failure,
        at now: Timestamp,
        update: (Recipient) -> RecipientUpdate
    ) async {
        let id = self.state.withLock { $0.nextAttemptID(at: now) }
        let updates = recipients.map(update)
        let expired = updates.contains { $0.state == .expired }
        let bounce =
            expired && message.reversePath != .null
            ? self.composeBounce(
                message,
                recipients.filter(\.forwardPath.wantsFailureReport).map { ($0, failure) },
                .init()
            ) : nil
        let result = AttemptResult(
            start: AttemptStart(
                id: id,
                messageID: message.id,
                provider: "gateway",
                recipients: recipients.map(\.number),
                startedAt: now
            ),
            finishedAt: now,
            report: AttemptReport(failure: failure, for: recipients),
            updates: updates,
            move: failure.text,
            bounce: bounce
        )
        if await self.record(result) {
            self.events.attemptEnded(result, of: message, recipients: recipients)
        }
    }
}

extension Failure {
    fileprivate static let interrupted = Failure(
        .ambiguous,
        .local,
        .commit,
        status: EnhancedStatusCode(4, 4, 2),
        text: "held: the gateway stopped while this was being sent, and on-ambiguous is hold",
        reason: .interrupted
    )

    fileprivate static let expiredWhileClosed = Failure(
        .permanent,
        .provider,
        .connect,
        status: EnhancedStatusCode(5, 4, 7),
        text: "could not be delivered in time: no way out was open",
        reason: .serviceUnavailable
    )
}
