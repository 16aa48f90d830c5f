package import MailModel
import Synchronization

/// Delivers what the store holds: leases what is due, asks the providers of the chain, records every attempt.
///
/// Fresh messages are delivered from memory: `plan` chooses their first attempts before the accepting transaction,
/// `take` starts them after it. Everything else comes from the store when it falls due.
package final class QueueManager: Sendable {
    package struct Configuration: Sendable {
        /// Attempts that may run at a time.
        package var concurrency: Int
        /// Attempts that may run at a time for one destination of a provider, and where a stranger begins.
        package var pace: Pace.Policy
        /// Messages that may be in memory, waiting or running; the rest stays in the store until there is room.
        package var capacity: Int
        /// Octets of content that may be in memory; beyond them, messages wait without theirs.
        package var contentCapacity: Int
        /// The longest that one attempt may take.
        package var attemptTimeout: Duration

        package init(
            concurrency: Int = 200,
            pace: Pace.Policy = .init(),
            capacity: Int = 20_000,
            contentCapacity: Int = 32 * 1_024 * 1_024,
            attemptTimeout: Duration = .seconds(300)
        ) {
            self.concurrency = concurrency
            self.pace = pace
            self.capacity = capacity
            self.contentCapacity = contentCapacity
            self.attemptTimeout = attemptTimeout
        }
    }

    /// Composes the report about failed recipients, or nil where none may be sent (RFC 5321 §6.1, RFC 3461 §4.1).
    package typealias BounceComposer =
        @Sendable (_ message: QueuedMessage, _ failed: [(recipient: Recipient, failure: Failure)], AttemptEvidence) ->
        NewMessage?

    struct State {
        var ready: ReadyQueue<Work>
        var board: BreakerBoard
        var crowd = Crowd()
        var idle: [CheckedContinuation<ReadyQueue<Work>.Turn?, Never>] = []
        var lastAttemptID: Int64 = 0
        var promises = Promises()
        /// What the contents of all work in `ready` occupy; shared ones count for each.
        var octetsInMemory = 0
        /// Attempts that have ended and are not on record yet, and those that an operator's change has taken out of the lanes.
        var unrecorded = 0
        /// Plans with attempts that are neither taken nor dropped.
        var openPlans = 0
        /// Operators' changes that are being made; nothing is leased meanwhile.
        var withdrawals = 0
        /// Those of them that are about to look at the lanes; nothing begins meanwhile.
        var pauses = 0
        /// A batch is on its way from the store into the lanes; operators' changes wait for its end.
        var isLeasing = false
        var leasingEnds: [CheckedContinuation<StoreFailure?, Never>] = []
        var isStopping = false
        /// When lanes are looked at in which mail may have waited for too long; nil while nothing waits.
        var reliefAt: ContinuousClock.Instant?

        /// The id of an attempt that is planned now, higher than all before.
        mutating func nextAttemptID(at now: Timestamp) -> Int64 {
            self.lastAttemptID = max(self.lastAttemptID + 1, QueueID.first(at: now).number)
            return self.lastAttemptID
        }

        mutating func takeLeasingEnds() -> [CheckedContinuation<StoreFailure?, Never>] {
            defer { self.leasingEnds = [] }
            return self.leasingEnds
        }
    }

    let configuration: Configuration
    let chain: StrategyChain
    let providers: [any Provider]
    let schedule: RetrySchedule
    let store: any Store
    let clock: any DeliveryClock
    let events: any DeliveryEvents
    let composeBounce: BounceComposer
    let executors: [any TaskExecutor]
    let wake = WakeSignal()
    /// Rings when a lane rests or something begins to wait, so that somebody looks at it in time.
    let paceBell = WakeSignal()
    /// Rings at a stop when something that was between store and lanes has come to its end.
    let stopBell = WakeSignal()
    let state: Mutex<State>

    /// Connects the queue to its ways out; `providers` are those of the chain, in its order.
    ///
    /// Workers are spread over `executors`, or run wherever there is a thread if there are none.
    package init(
        configuration: Configuration,
        chain: StrategyChain,
        providers: [any Provider],
        schedule: RetrySchedule,
        breakers: BreakerBoard,
        store: any Store,
        clock: any DeliveryClock,
        events: any DeliveryEvents,
        composeBounce: @escaping BounceComposer,
        executors: [any TaskExecutor] = []
    ) {
        precondition(providers.map(\.name) == chain.providers, "the chain and its providers differ")
        self.configuration = configuration
        self.chain = chain
        self.providers = providers
        self.schedule = schedule
        self.store = store
        self.clock = clock
        self.events = events
        self.composeBounce = composeBounce
        self.executors = executors
        self.state = Mutex(
            State(
                // A quarter of the places is for mail to where it flows, whatever else is stuck.
                ready: ReadyQueue(policy: configuration.pace, doubtfulLimit: configuration.concurrency * 3 / 4),
                board: breakers
            )
        )
    }

    /// Delivers until `stop` is called and what runs has ended, or until cancelled.
    package func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await self.pollStore() }
            group.addTask { await self.keepPace() }
            for number in 0..<self.configuration.concurrency {
                let executor = self.executors.isEmpty ? nil : self.executors[number % self.executors.count]
                group.addTask(executorPreference: executor) { await self.work() }
            }
        }
        await self.parkWaiting()
    }

    /// Begins nothing new; attempts that run are left to end.
    ///
    /// What waits in memory is given back to the store when `run` ends, and is due at the next start.
    package func stop() {
        let idle = self.state.withLock { state in
            state.isStopping = true
            defer { state.idle = [] }
            return state.idle
        }
        idle.forEach { $0.resume(returning: nil) }
        self.wake.signal()
        self.paceBell.signal()
    }

    /// Looks at the store again now and has the providers forget what they learned, as after an operator's `flush`.
    package func lookAgain() {
        self.providers.forEach { $0.forget() }
        self.wake.signal()
    }

    /// All breakers that are not closed.
    package var openBreakers: [BreakerKey: BreakerState] {
        self.state.withLock { $0.board.open }
    }

    /// Attempts that wait in memory or run.
    package var load: (waiting: Int, running: Int) {
        self.state.withLock { ($0.ready.waitingCount, $0.ready.runningCount) }
    }

    /// Attempts that run or are not on record yet, and what is being committed: what a stop waits for.
    package var unfinishedCount: Int {
        self.state.withLock { $0.ready.runningCount + $0.unrecorded + $0.openPlans }
    }

    /// Closes a breaker on an operator's word, and lets what waits go at once; returns what was open.
    package func closeBreaker(_ key: BreakerKey) async throws(StoreFailure) -> [BreakerKey] {
        let closed = self.state.withLock { $0.board.close(key) }
        try await self.announceClosed(closed)
        return closed
    }

    /// Lets one message try each way that is left alone, as after an operator's `flush`; returns what stays so, and why.
    package func probeNow() -> [BreakerKey: BreakerState] {
        let now = self.clock.wallTime
        return self.state.withLock { state in
            let spent = Set(state.board.probeNow(at: now))
            return state.board.open.filter { spent.contains($0.key) }
        }
    }

    func announceClosed(_ keys: [BreakerKey]) async throws(StoreFailure) {
        for key in keys {
            try await self.store.save(nil, for: key)
            self.events.breakerClosed(key)
        }
        guard !keys.isEmpty else {
            return
        }
        // Much may be due already; the rest can take a while.
        self.wake.signal()
        let now = self.clock.wallTime
        for key in keys {
            switch key.part {
            case .whole, .senderDomain: _ = try await self.store.expedite(.all, at: now)
            case .destination(let domain): _ = try await self.store.expedite(.domain(domain), at: now)
            }
        }
        self.wake.signal()
    }
}

// MARK: - Fresh mail

extension QueueManager {
    /// Chooses the first attempts of a message that is about to be committed; empty when there is no room for it now.
    ///
    /// Followed by `take` or `drop`.
    package func plan(_ message: QueuedMessage, _ recipients: [Recipient]) -> FreshPlan {
        self.state.withLock { state in
            var plan = self.plan(message, recipients, &state)
            self.promise(&plan, &state)
            state.openPlans += 1
            return plan
        }
    }

    /// Starts the attempts of a plan; called after the commit.
    package func take(_ plan: FreshPlan) {
        if plan.leavesSome {
            self.wake.signal()
        }
        self.submit(plan.works)
        self.close(plan)
    }

    /// The commit failed: nothing of the plan happens.
    package func drop(_ plan: FreshPlan) {
        let probes = plan.works.flatMap(\.probes)
        if !probes.isEmpty {
            self.state.withLock { $0.board.endProbe(probes) }
        }
        self.close(plan)
    }

    /// Turns recipients into work for the providers whose turn it is; the lock is held.
    func assign(
        _ message: QueuedMessage,
        _ recipients: [Recipient],
        _ round: Work.Round,
        isBegun: Bool,
        at now: Timestamp,
        _ state: inout State
    ) -> ([Work], Unassigned) {
        var assignment = Assignment(
            chain: self.chain,
            providers: self.providers,
            reversePath: message.reversePath,
            now: now
        )
        for recipient in recipients {
            assignment.place(recipient, in: round, board: &state.board, lanes: state.ready)
        }
        let works = assignment.groups.map { group in
            let start = AttemptStart(
                id: state.nextAttemptID(at: now),
                messageID: message.id,
                provider: group.provider.name,
                recipients: group.recipients.map(\.number),
                startedAt: now
            )
            return Work(
                message: message,
                recipients: group.recipients,
                provider: group.provider,
                start: start,
                isBegun: isBegun,
                probes: group.probes,
                round: round.after(group),
                lane: .init(provider: group.provider.name, destination: group.destination)
            )
        }
        return (works, Unassigned(recipients: assignment.unassigned, until: assignment.earliest))
    }
}

/// The first attempts of a message between its planning and its commit.
package struct FreshPlan: Sendable {
    var works: [Work]
    /// Whether there are recipients in none of the attempts, who wait in the store.
    let leavesSome: Bool
    /// When recipients that are in none of the attempts are to be looked at again.
    package let dueAt: Timestamp

    /// What the accepting transaction records.
    package var firstAttempts: [AttemptStart] {
        self.works.filter(\.isBegun).map(\.start)
    }

    /// Recipients of attempts that wait for their turn, and are recorded when they begin.
    package var planned: [Recipient.Number] {
        self.works.filter { !$0.isBegun }.flatMap(\.start.recipients)
    }
}
