import MailModel
import Synchronization

extension QueueManager {
    /// Puts work into its lanes and wakes as many workers as can run.
    func submit(_ works: [Work]) {
        guard !works.isEmpty else {
            return
        }
        let now = self.clock.now
        self.state.withLock { state in
            for work in works {
                state.ready.append(work, to: work.lane, at: now)
                state.octetsInMemory += work.message.content.octetsInMemory
            }
        }
        self.dispatch()
    }

    /// Hands what may begin now to idle workers.
    func dispatch() {
        let now = self.clock.now
        var isTimed = false
        // One at a time, outside the lock: there is seldom more than one, and a list of them would be made for each message.
        while let (worker, turn) = self.state.withLock({ self.start(at: now, &$0, isTimed: &isTimed) }) {
            worker.resume(returning: turn)
        }
        if isTimed {
            self.paceBell.signal()
        }
    }

    /// An idle worker and what it is to begin; nil when nothing may begin, and then whether time alone can change that.
    private func start(
        at now: ContinuousClock.Instant,
        _ state: inout State,
        isTimed: inout Bool
    ) -> (CheckedContinuation<ReadyQueue<Work>.Turn?, Never>, ReadyQueue<Work>.Turn)? {
        guard !state.idle.isEmpty, !state.isStopping, state.pauses == 0, let turn = state.ready.next(at: now) else {
            isTimed = state.ready.nextStart != nil || self.needsRelief(state)
            return nil
        }
        return (state.idle.removeLast(), turn)
    }

    /// Wakes lanes that rest when their time has come, and relieves those in which mail has waited for too long.
    func keepPace() async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled, !self.isStopping {
                let now = self.clock.now
                let next = self.state.withLock { state in
                    state.reliefAt = self.nextRelief(state, at: now)
                    return [state.ready.nextStart, state.reliefAt].compactMap(\.self).min()
                }
                await self.sleep(until: next ?? now + .seconds(3_600), orUntil: self.paceBell)
                if let next, next <= self.clock.now {
                    self.state.withLock { $0.ready.wakeRested(at: self.clock.now) }
                    self.dispatch()
                    self.relieve(&group)
                }
            }
        }
    }

    /// How much more fits into memory, waiting or running.
    func freeCount(in state: State) -> Int {
        self.configuration.capacity - state.ready.waitingCount - state.ready.runningCount
    }

    /// Turns recipients of a new round into work for which there is room, and those who must wait; the lock is held.
    func assignWhatFits(
        _ message: QueuedMessage,
        _ recipients: [Recipient],
        isBegun: Bool,
        at now: Timestamp,
        _ state: inout State
    ) -> ([Work], Unassigned) {
        let (works, rest) = self.assign(message, recipients, .init(), isBegun: isBegun, at: now, &state)
        let (admitted, crowded) = self.admit(works, at: now, &state)
        return (admitted, rest.joined(with: crowded))
    }

    /// Divides work into what there is room for and what must wait in the store; the lock is held.
    ///
    /// A lane may fill as much of the memory as is left free beside it, so that one backlog takes half of it, two a third
    /// each, and a destination without any always finds room.
    private func admit(_ works: [Work], at now: Timestamp, _ state: inout State) -> ([Work], Unassigned) {
        let free = self.freeCount(in: state)
        var admitted: [Work] = []
        var crowded = Unassigned(recipients: [], until: nil)
        for work in works {
            guard !work.probes.isEmpty || state.ready.waiting(in: work.lane) < free else {
                let until = self.untilRoom(in: work.lane, at: now, &state)
                crowded.recipients += work.recipients
                crowded.until = min(crowded.until ?? until, until)
                continue
            }
            admitted.append(work)
        }
        return (admitted, crowded)
    }

    /// When to look again whether a lane has room: at once where only as much is leased as goes into the lane.
    private func untilRoom(in lane: ReadyQueue<Work>.Lane, at now: Timestamp, _ state: inout State) -> Timestamp {
        guard lane != self.commonLane(in: state, at: now) else {
            return now
        }
        return state.crowd.nextPlace(in: lane, of: state.ready, at: now, chance: self.clock.chance())
    }

    /// When to look again at a recipient for whom every way is closed, or the first open one has no room; nil when it may go.
    ///
    /// The lock is held. The store asks before it leases, so that a backlog for one destination costs little and keeps
    /// nobody waiting who stands behind it.
    func putOff(_ domain: MailDomain, at now: Timestamp, _ state: inout State) -> Timestamp? {
        var earliest: Timestamp?
        var stuck: ReadyQueue<Work>.Lane?
        for provider in self.providers {
            let destination = provider.grouping == .byDomain ? domain.key : nil
            if let until = state.board.earliestUse(of: provider.name, to: destination, at: now) {
                earliest = min(earliest ?? until, until)
                continue
            }
            let lane = ReadyQueue<Work>.Lane(provider: provider.name, destination: destination)
            if state.ready.isStuck(lane, patience: self.chain.fallbackAfter) {
                stuck = stuck ?? lane
                continue
            }
            return self.place(in: lane, at: now, &state)
        }
        return stuck.map { self.place(in: $0, at: now, &state) } ?? earliest
    }

    /// Nil when there is room in a lane; else when to look again.
    private func place(in lane: ReadyQueue<Work>.Lane, at now: Timestamp, _ state: inout State) -> Timestamp? {
        guard lane != self.commonLane(in: state, at: now) else {
            // No more is leased than goes into it.
            return nil
        }
        let waiting = state.ready.waiting(in: lane)
        guard !state.crowd.hasRoom(in: lane, beside: waiting, free: self.freeCount(in: state)) else {
            return nil
        }
        return state.crowd.nextPlace(in: lane, of: state.ready, at: now, chance: self.clock.chance())
    }

    /// The same works, without their contents where there is no room for those in memory; the lock is held.
    func leavingContent(of works: [Work], in state: State) -> [Work] {
        let octets = works.reduce(0) { $0 + $1.message.content.octetsInMemory }
        return state.octetsInMemory + octets > self.configuration.contentCapacity ? works.map(\.withoutContent) : works
    }

    /// Waits for the time, for the bell or for the end, whichever comes first.
    func sleep(until moment: ContinuousClock.Instant, orUntil bell: WakeSignal) async {
        guard moment > self.clock.now, !self.isStopping else {
            return
        }
        await withDiscardingTaskGroup { group in
            group.addTask {
                // Throws when the bell rang first and ended the wait.
                if (try? await self.clock.sleep(until: moment)) != nil {
                    bell.signal()
                }
            }
            await bell.wait()
            group.cancelAll()
        }
    }

    var isStopping: Bool {
        self.state.withLock(\.isStopping)
    }
}
