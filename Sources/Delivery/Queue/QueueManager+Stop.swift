import MailModel
import Synchronization

/// What is planned and not begun is given back.
extension QueueManager {
    /// Gives back what was never begun, so that the next start does not take it for interrupted.
    ///
    /// What is being committed or withdrawn may come into the lanes yet, and is waited for until cancelled.
    func parkWaiting() async {
        while true {
            let (works, moreMayCome) = self.state.withLock { state in
                (state.ready.removeWaiting(), state.unrecorded + state.openPlans > 0)
            }
            await withDiscardingTaskGroup { group in
                for work in works {
                    group.addTask { await self.park(work) }
                }
            }
            guard moreMayCome, !Task.isCancelled else {
                return
            }
            await self.stopBell.wait()
        }
    }

    /// Has a stop look at the lanes again.
    func ringWhenStopping() {
        if self.isStopping {
            self.stopBell.signal()
        }
    }

    private func park(_ work: Work) async {
        let now = self.clock.wallTime
        _ = await self.record(self.notBegun(work, .notMade) { _ in .waiting(dueAt: now) })
    }

    /// The result of an attempt that was planned and is not made; `state` says where its recipients stand then.
    func notBegun(
        _ work: Work,
        _ failure: Failure,
        state: (Recipient.Number) -> RecipientUpdate.State
    ) -> AttemptResult {
        let updates = work.recipients.map { recipient in
            RecipientUpdate(
                recipient: recipient.number,
                state: state(recipient.number),
                progress: recipient.progress
            )
        }
        return AttemptResult(
            start: work.start,
            finishedAt: self.clock.wallTime,
            report: AttemptReport(failure: failure, for: work.recipients),
            updates: updates,
            move: failure.text
        )
    }
}

extension Failure {
    fileprivate static let notMade = Failure.notBegun("the gateway was stopping")

    static func notBegun(_ why: String) -> Failure {
        Failure(
            .transient,
            .local,
            .resolve,
            status: EnhancedStatusCode(4, 3, 2),
            text: "not begun: \(why)",
            reason: .interrupted
        )
    }
}
