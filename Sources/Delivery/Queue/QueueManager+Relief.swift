import MailModel
import Synchronization

/// Nobody waits longer than `fallback-after` for a turn at a destination that hardly takes anything, while another way is open.
extension QueueManager {
    /// Whether something waits and nobody has set the time to look at it; the lock is held.
    func needsRelief(_ state: State) -> Bool {
        state.reliefAt == nil && state.ready.waitingCount > 0 && self.providers.count > 1
    }

    /// When what has waited longest will have waited for too long, or is to be looked at again; nil while nothing waits.
    func nextRelief(_ state: State, at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard self.providers.count > 1, let since = state.ready.longestWaiting else {
            return nil
        }
        let pause = min(max(self.chain.fallbackAfter / 8, .milliseconds(100)), .seconds(5))
        return max(since + self.chain.fallbackAfter, now + pause)
    }

    /// Hands on what has waited for too long; recording that takes place in the group.
    func relieve(_ group: inout DiscardingTaskGroup) {
        for (work, waited) in self.takeOverdue() {
            let conclusion = self.conclude(withoutAttempt: .crowdedOut(of: work.lane, waited), work)
            group.addTask { await self.complete(conclusion) }
        }
    }

    /// Takes out what has waited for too long and has another way; it counts as deferred since it began to wait.
    private func takeOverdue() -> [(Work, waited: Duration)] {
        let (now, wallTime) = (self.clock.now, self.clock.wallTime)
        return self.state.withLock { state in
            guard !state.isStopping else {
                return []
            }
            let board = state.board
            let overdue = state.ready.removeOverdue(before: now - self.chain.fallbackAfter) { work in
                work.probes.isEmpty && self.hasOpenWay(after: work.round, board, at: wallTime)
            }
            state.octetsInMemory -= overdue.reduce(0) { $0 + $1.element.message.content.octetsInMemory }
            state.unrecorded += overdue.count
            return overdue.map { work, since in
                (work.deferred(since: wallTime + (since - now)), now - since)
            }
        }
    }

    private func hasOpenWay(after round: Work.Round, _ board: BreakerBoard, at now: Timestamp) -> Bool {
        self.providers.indices.dropFirst(round.nextPosition).contains { position in
            position != round.askedEarly && board.earliestUse(of: self.providers[position].name, at: now) == nil
        }
    }
}

extension Work {
    /// The same work, for whose recipients patience has begun.
    fileprivate func deferred(since moment: Timestamp) -> Work {
        var work = self
        for index in work.recipients.indices {
            let since = work.recipients[index].progress.deferredSince
            work.recipients[index].progress.deferredSince = min(since ?? moment, moment)
        }
        return work
    }
}

extension Failure {
    /// An attempt that was planned and not made, since its turn did not come (RFC 3463 §3.5, X.4.5: congestion).
    fileprivate static func crowdedOut(of lane: ReadyQueue<Work>.Lane, _ waited: Duration) -> Failure {
        Failure(
            .transient,
            .destination,
            .mail,
            status: EnhancedStatusCode(4, 4, 5),
            text: "not begun: \(lane.destination ?? lane.provider) takes mail slowly or not at all, "
                + "and this has waited \(waited.components.seconds) s for its turn",
            reason: .serviceUnavailable
        )
    }
}
