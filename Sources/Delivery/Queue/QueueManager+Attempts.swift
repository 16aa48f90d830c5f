import MailModel
import Synchronization

extension QueueManager {
    /// One worker: attempts what is ready until there will be nothing more.
    ///
    /// The next attempt of a lane does not wait for the record of the last one, as long as few records are outstanding.
    func work() async {
        await withDiscardingTaskGroup { group in
            while let turn = await self.nextTurn() {
                let (word, conclusion) = await self.deliver(turn.element)
                let now = self.clock.now
                let waits = self.state.withLock { state in
                    state.ready.finish(turn, word, at: now)
                    state.octetsInMemory -= turn.element.message.content.octetsInMemory
                    state.unrecorded += 1
                    return state.unrecorded > self.configuration.concurrency
                }
                if waits {
                    // The place is free, and perhaps another worker is.
                    self.dispatch()
                    await self.complete(conclusion)
                } else {
                    group.addTask { await self.complete(conclusion) }
                }
            }
        }
    }

    private func nextTurn() async -> ReadyQueue<Work>.Turn? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = self.state.withLock { state in
                    guard !state.isStopping, !Task.isCancelled else {
                        return true
                    }
                    state.idle.append(continuation)
                    return false
                }
                if isOver {
                    continuation.resume(returning: nil)
                } else {
                    self.dispatch()
                }
            }
        } onCancel: {
            self.stop()
        }
    }

    /// Makes one attempt, decides what follows from it, and tells what it says of the pace.
    private func deliver(_ work: Work) async -> (Pace.Word, Conclusion) {
        var work = work
        if work.lacksContent {
            do throws(StoreFailure) {
                work.message.content = try await self.store.content(of: work.message.id)
                work.lacksContent = false
            } catch {
                return (.nothing, self.conclude(withoutAttempt: .unreadable(error), work))
            }
        }
        if let closed = self.reconsider(&work) {
            return (.nothing, self.conclude(withoutAttempt: closed, work))
        }
        let report = await self.attempt(work)
        // What a cancelled attempt saw says nothing about the other side, and must close no way for the next start.
        return (report.word, self.conclude(work, Task.isCancelled ? report.interrupted : report, wasMade: true))
    }

    func conclude(withoutAttempt failure: Failure, _ work: Work) -> Conclusion {
        self.conclude(work, AttemptReport(failure: failure, for: work.recipients), wasMade: false)
    }

    private func attempt(_ work: Work) async -> AttemptReport {
        let store = self.store
        return await work.provider.attempt(
            work.message,
            to: work.recipients,
            deadline: self.clock.now.advanced(by: self.configuration.attemptTimeout),
            beforeCommit: {
                if !work.isBegun {
                    try await store.begin(work.start)
                }
            }
        )
    }

    /// Looks at the breakers again, since one may have opened while the work stood in its lane.
    ///
    /// Gives the failure that stands for an attempt which would only repeat what is known; else the work may go, as a probe
    /// if the time for one has come.
    private func reconsider(_ work: inout Work) -> Failure? {
        guard work.probes.isEmpty else {
            return nil
        }
        let now = self.clock.wallTime
        let (closed, probes) = self.state.withLock { [work] state -> (Failure?, [BreakerKey]) in
            let (sender, destination) = (work.senderDomain, work.lane.destination)
            switch state.board.permit(work.lane.provider, from: sender, to: destination, at: now) {
            case .allowed: return (nil, [])
            case .probe(let keys): return (nil, keys)
            case .refused: return (state.board.standing(work.lane.provider, from: sender, to: destination, at: now), [])
            }
        }
        work.probes = probes
        return closed
    }

    /// Decides what follows from an attempt; nothing of it is on record yet, and only the breakers know.
    private func conclude(_ work: Work, _ report: AttemptReport, wasMade: Bool) -> Conclusion {
        let now = self.clock.wallTime
        let judge = self.judge(for: work.message, at: now)
        var verdict = judge.judge(report, of: work.recipients, by: work.provider.name)
        if !wasMade {
            // What only repeats a breaker's word opens none.
            verdict.trips = []
        } else if Task.isCancelled {
            verdict.trips.removeAll { $0.part == .providerInDoubt }
        }
        let board = self.updateBreakers(work, verdict, at: now)
        var next: [Work] = []
        if !verdict.movers.isEmpty {
            next = self.moveOn(work, judge, &verdict, at: now)
        }
        let bounce = self.bounce(work.message, verdict.bounced, report.evidence)
        let result = AttemptResult(
            start: work.start,
            finishedAt: now,
            report: report,
            updates: verdict.updates,
            move: verdict.moves.joined(separator: "; "),
            bounce: bounce?.message
        )
        let hasWaiting = verdict.updates.contains(where: \.state.isWaiting) || bounce?.plan.leavesSome == true
        return Conclusion(
            work: work,
            result: result,
            breakers: board,
            next: next + (bounce?.plan.works ?? []),
            wakesPolling: hasWaiting
        )
    }

    /// Records what an attempt brought, and only then begins what follows from it.
    func complete(_ conclusion: Conclusion) async {
        let isRecorded = await self.record(conclusion.result)
        self.state.withLock { $0.unrecorded -= 1 }
        guard isRecorded else {
            let probes = conclusion.next.flatMap(\.probes)
            self.state.withLock { $0.board.endProbe(probes) }
            return
        }
        let work = conclusion.work
        self.events.attemptEnded(conclusion.result, of: work.message, recipients: work.recipients)
        self.submit(conclusion.next)
        await self.publish(conclusion.breakers)
        if conclusion.wakesPolling {
            self.wake.signal()
        }
    }

    func judge(for message: QueuedMessage, at now: Timestamp) -> Judge {
        Judge(
            chain: self.chain,
            schedule: self.schedule,
            now: now,
            chance: self.clock.chance,
            expiresAt: message.expiresAt
        )
    }

    /// Finds the next provider for those that left this one; who has none left waits for the next round or bounces.
    private func moveOn(_ work: Work, _ judge: Judge, _ verdict: inout Verdict, at now: Timestamp) -> [Work] {
        let left = work.provider.name
        var next: [Work] = []
        for bounces in [true, false] {
            let movers = verdict.movers.filter { $0.bounces == bounces }
            guard let first = movers.first else {
                continue
            }
            var round = work.round
            round.everyFailureBounces = round.everyFailureBounces && bounces
            round.isOutage = round.isOutage && [.provider, .destination].contains(first.failure.scope)
            let recipients = movers.map(\.recipient)
            let (works, rest) = self.state.withLock {
                self.assign(work.message, recipients, round, isBegun: false, at: now, &$0)
            }
            next += work.lacksContent ? works.map(\.withContentInStore) : works
            for work in works {
                let name = work.provider.name
                self.events.movedOn(work.message.id, from: left, to: name, because: first.failure)
                verdict.say("moved on to \(name): \(first.failure.text)")
            }
            let stranded = Set(rest.recipients.map(\.number))
            for mover in movers {
                if stranded.contains(mover.recipient.number) {
                    self.exhaust(mover, round, sawOpenBreaker: rest.until != nil, judge, &verdict)
                } else {
                    verdict.updates.append(mover.recipient.stillActive(after: mover.failure))
                }
            }
        }
        return next
    }

    /// The chain has nobody left to ask for this recipient in this round.
    private func exhaust(
        _ mover: (recipient: Recipient, failure: Failure, bounces: Bool),
        _ round: Work.Round,
        sawOpenBreaker: Bool,
        _ judge: Judge,
        _ verdict: inout Verdict
    ) {
        var recipient = mover.recipient
        // Judge counts the attempt again when it writes the update.
        recipient.progress.attempts -= 1
        if round.everyFailureBounces, !sawOpenBreaker {
            verdict.bounced.append((recipient, mover.failure))
            verdict.updates.append(recipient.bounced(by: mover.failure))
            verdict.say("bounced, no provider can carry it: \(mover.failure.text)")
            return
        }
        recipient.progress.rounds += 1
        judge.waitForNextRound(recipient, mover.failure, outage: round.isOutage, in: &verdict)
    }

    private func bounce(
        _ message: QueuedMessage,
        _ failed: [(recipient: Recipient, failure: Failure)],
        _ evidence: AttemptEvidence
    ) -> (message: NewMessage, plan: FreshPlan)? {
        let reported = failed.filter(\.recipient.forwardPath.wantsFailureReport)
        guard !reported.isEmpty, message.reversePath != .null,
            var new = self.composeBounce(message, reported, evidence)
        else {
            return nil
        }
        let plan = self.state.withLock { self.plan(new.message, new.recipients, &$0) }
        new.firstAttempts = plan.firstAttempts
        new.planned = plan.planned
        new.dueAt = plan.dueAt
        return (new, plan)
    }

    /// Writes the result of an attempt; false when it was not written.
    ///
    /// Then its message was deleted, or the process is ending: the next start finds the attempt begun and without an end, and
    /// treats it so.
    func record(_ result: AttemptResult) async -> Bool {
        await self.persist { store throws(StoreFailure) in try await store.finish(result) }
    }

    /// Writes to the store, again and again while that fails; false when its message was deleted or the task cancelled.
    func persist(_ write: (any Store) async throws(StoreFailure) -> Void) async -> Bool {
        while true {
            do throws(StoreFailure) {
                try await write(self.store)
                return true
            } catch {
                self.events.storeTrouble(error)
                guard error.kind != .missing else {
                    return false
                }
                self.refuseWithdrawals(because: error)
                guard (try? await self.clock.sleep(until: self.clock.now + .seconds(1))) != nil else {
                    return false
                }
            }
        }
    }
}

/// What is to happen when an attempt has ended.
struct Conclusion: Sendable {
    let work: Work
    let result: AttemptResult
    let breakers: QueueManager.BreakerChanges
    let next: [Work]
    let wakesPolling: Bool
}

extension AttemptReport {
    /// The report of an attempt that was cut off: what is certain stays, and so does doubt about what was handed over.
    fileprivate var interrupted: AttemptReport {
        var report = self
        report.outcomes = self.outcomes.mapValues { outcome in
            guard let failure = outcome.failure, failure.persistence == .transient else {
                return outcome
            }
            return .failed(failure.interrupted)
        }
        return report
    }
}

extension Failure {
    /// Our own doing, and due again at once.
    fileprivate var interrupted: Failure {
        Failure(
            .transient,
            .local,
            self.stage,
            status: EnhancedStatusCode(4, 3, 2),
            text: "interrupted, since the gateway was stopping: \(self.text)",
            reason: .interrupted,
            retryAfter: .zero
        )
    }

    /// The content cannot be read now; when it is due again, the store says whether it is lost.
    fileprivate static func unreadable(_ failure: StoreFailure) -> Failure {
        Failure(
            .transient,
            .local,
            .resolve,
            status: EnhancedStatusCode(4, 3, 0),
            text: "the content cannot be read: \(failure)",
            reason: .localTrouble
        )
    }
}

extension RecipientUpdate.State {
    fileprivate var isWaiting: Bool {
        switch self {
        case .waiting: true
        case .active, .held, .delivered, .bounced, .expired: false
        }
    }
}

extension Recipient {
    fileprivate func stillActive(after failure: Failure) -> RecipientUpdate {
        RecipientUpdate(
            recipient: self.number,
            state: .active,
            progress: self.progress,
            lastFailure: "\(failure.status) \(failure.text)"
        )
    }

    fileprivate func bounced(by failure: Failure) -> RecipientUpdate {
        var progress = self.progress
        progress.attempts += 1
        return RecipientUpdate(
            recipient: self.number,
            state: .bounced,
            progress: progress,
            lastFailure: "\(failure.status) \(failure.text)"
        )
    }
}
