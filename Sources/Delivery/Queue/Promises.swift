import MailModel
import Synchronization

/// Places that are kept for attempts whose messages are being committed, so that no more are recorded as begun than can begin.
struct Promises {
    private var counts: [ReadyQueue<Work>.Lane: Int] = [:]
    private var total = 0

    /// Promises a place in a lane, if there is one for it and a worker; `end` follows.
    mutating func give(_ lane: ReadyQueue<Work>.Lane, of ready: ReadyQueue<Work>, idle: Int) -> Bool {
        let count = self.counts[lane, default: 0]
        guard self.total < idle, ready.hasPlace(in: lane, beside: count, ofAll: self.total) else {
            return false
        }
        self.counts[lane] = count + 1
        self.total += 1
        return true
    }

    /// The attempt is in its lane, or does not come.
    mutating func end(_ lane: ReadyQueue<Work>.Lane) {
        let count = self.counts[lane, default: 0] - 1
        self.counts[lane] = count > 0 ? count : nil
        self.total -= 1
    }
}

extension QueueManager {
    /// Plans what begins with an outcome that is about to be committed, or with a submission; the lock is held.
    ///
    /// Attempts are recorded with their messages, so that they cost no commit of their own. A crash makes no difference between
    /// those that wait and those that run; where it would hold both for a person, who waits is recorded when it begins.
    func plan(_ message: QueuedMessage, _ recipients: [Recipient], _ state: inout State) -> FreshPlan {
        let now = self.clock.wallTime
        guard !state.isStopping, self.freeCount(in: state) > 0 else {
            return FreshPlan(works: [], leavesSome: true, dueAt: now)
        }
        let isBegun = self.chain.onAmbiguous == .resend
        let (works, rest) = self.assignWhatFits(message, recipients, isBegun: isBegun, at: now, &state)
        return FreshPlan(
            works: self.leavingContent(of: works, in: state),
            leavesSome: !rest.recipients.isEmpty,
            dueAt: rest.until ?? now
        )
    }

    /// Records with the message what will begin at once, where not all of it is; the lock is held.
    func promise(_ plan: inout FreshPlan, _ state: inout State) {
        guard self.chain.onAmbiguous == .hold else {
            return
        }
        for index in plan.works.indices {
            let lane = plan.works[index].lane
            plan.works[index].isBegun = state.promises.give(lane, of: state.ready, idle: state.idle.count)
        }
    }

    /// The attempts of a plan have their places, or will never need them.
    func close(_ plan: FreshPlan) {
        self.state.withLock { state in
            state.openPlans -= 1
            if self.chain.onAmbiguous == .hold {
                plan.works.filter(\.isBegun).forEach { state.promises.end($0.lane) }
            }
        }
        self.ringWhenStopping()
    }
}
