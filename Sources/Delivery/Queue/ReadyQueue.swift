import DequeModule
import HeapModule

/// What can be attempted now, in lanes, so that a slow destination holds up nobody but itself.
///
/// Lanes take turns; each has a pace of its own. Lanes in trouble, and those of which nothing is known yet, together leave
/// a part of the places free, so that mail to where it flows finds one.
package struct ReadyQueue<Element: Sendable>: Sendable {
    /// A provider, and for direct delivery the recipient's domain.
    package struct Lane: Hashable, Sendable {
        package let provider: String
        package let destination: String?

        package init(provider: String, destination: String?) {
            self.provider = provider
            self.destination = destination
        }
    }

    /// An element that runs; handed back with `finish`.
    package struct Turn: Sendable {
        package let lane: Lane
        package let element: Element
        package let began: ContinuousClock.Instant
        fileprivate let cuts: Int
    }

    /// Whether a lane whose turn it is may begin something.
    private enum Readiness {
        case ready
        case empty
        /// Its pace fell while it stood in line; the next end lists it again.
        case full
        case doubtful
        case resting(until: ContinuousClock.Instant)
    }

    private struct Rest: Comparable, Sendable {
        var until: ContinuousClock.Instant
        var lane: Lane

        static func < (left: Rest, right: Rest) -> Bool {
            left.until < right.until
        }
    }

    /// How many destinations are remembered that have nothing waiting.
    private static var memory: Int { 10_000 }

    private(set) var lanes: [Lane: LaneState] = [:]
    /// What was learned of lanes that are empty now, and until when they rest.
    private var remembered: [Lane: LaneState] = [:]
    /// Lanes that have something waiting and room to run it, each once, in turn.
    private var turn: Deque<Lane> = []
    /// Lanes whose next beginning is some time away.
    private var resting = Heap<Rest>()
    /// Doubtful lanes that wait until fewer of their kind run.
    private var parked: Deque<Lane> = []
    private let policy: Pace.Policy
    private let doubtfulLimit: Int
    private var doubtfulCount = 0
    /// What waits in all lanes.
    package private(set) var waitingCount = 0
    package private(set) var runningCount = 0

    /// Makes an empty queue; lanes in doubt run at most `doubtfulLimit` elements at a time, all together.
    package init(policy: Pace.Policy, doubtfulLimit: Int) {
        self.policy = policy
        self.doubtfulLimit = max(1, doubtfulLimit)
    }

    /// When the first resting lane may go on; nil when none rests.
    package var nextStart: ContinuousClock.Instant? {
        self.resting.min?.until
    }

    /// How much waits in one lane.
    package func waiting(in lane: Lane) -> Int {
        self.lanes[lane]?.waiting.count ?? 0
    }

    /// Whether one more element of a lane would begin at once, beside others that are to come: in the lane, and in all.
    package func hasPlace(in lane: Lane, beside coming: Int, ofAll total: Int) -> Bool {
        let pace = self.pace(of: lane)
        let (waiting, running) = self.lanes[lane].map { ($0.waiting.count, $0.running) } ?? (0, 0)
        return waiting == 0 && pace.interval == .zero && running + coming < pace.limit
            && (pace.isProven || self.doubtfulCount + total < self.doubtfulLimit)
    }

    /// The pace of a lane as it is known now.
    package func pace(of lane: Lane) -> Pace {
        self.lanes[lane]?.pace ?? self.remembered[lane]?.pace ?? Pace(self.policy, isTrusted: lane.destination == nil)
    }

    /// How long it will take until what waits in the lane has begun, as far as can be told.
    package func expectedWait(in lane: Lane) -> Duration {
        self.expectedInterval(of: lane) * self.waiting(in: lane)
    }

    /// The time from one beginning of the lane to the next, as far as can be told.
    package func expectedInterval(of lane: Lane) -> Duration {
        let pace = self.pace(of: lane)
        return pace.duration / pace.limit + pace.interval
    }

    package mutating func append(_ element: Element, to lane: Lane, at now: ContinuousClock.Instant) {
        if self.lanes.index(forKey: lane) == nil {
            self.lanes[lane] = self.remembered.removeValue(forKey: lane) ?? LaneState(pace: self.pace(of: lane))
        }
        self.waitingCount += 1
        if self.lanes[lane]?.append(element, at: now) == true {
            self.turn.append(lane)
        }
    }

    /// The next element to run, by turns of the lanes; nil when nothing may begin now.
    package mutating func next(at now: ContinuousClock.Instant) -> Turn? {
        self.wakeRested(at: now)
        while let lane = self.turn.popFirst() {
            switch self.readiness(of: lane, at: now) {
            case .ready: return self.begin(lane, at: now)
            case .empty: self.unlist(lane)
            case .full: self.lanes[lane]?.isListed = false
            case .doubtful: self.parked.append(lane)
            case .resting(let until): self.resting.insert(Rest(until: until, lane: lane))
            }
        }
        return nil
    }

    private func readiness(of lane: Lane, at now: ContinuousClock.Instant) -> Readiness {
        guard let state = self.lanes[lane], !state.waiting.isEmpty else {
            return .empty
        }
        guard state.running < state.pace.limit else {
            return .full
        }
        guard state.pace.isProven || self.doubtfulCount < self.doubtfulLimit else {
            return .doubtful
        }
        guard let until = state.restsUntil, until > now else {
            return .ready
        }
        return .resting(until: until)
    }

    private mutating func begin(_ lane: Lane, at now: ContinuousClock.Instant) -> Turn? {
        // In place: a lane taken out, changed and put back would have all that waits in it copied.
        guard let begun = self.lanes[lane]?.begin(at: now) else {
            return nil
        }
        self.doubtfulCount += begun.pace.isProven ? 0 : 1
        self.waitingCount -= 1
        self.runningCount += 1
        if begun.isListed {
            self.turn.append(lane)
        }
        return Turn(lane: lane, element: begun.element, began: now, cuts: begun.pace.cuts)
    }

    /// Lets lanes take turns again whose rest is over.
    package mutating func wakeRested(at now: ContinuousClock.Instant) {
        while let rest = self.resting.min, rest.until <= now {
            self.turn.append(self.resting.removeMin().lane)
        }
    }

    /// Takes out what is meant of all that has not begun, in no particular order of lanes.
    package mutating func removeWaiting(where isMeant: (Element) -> Bool = { _ in true }) -> [Element] {
        self.removeWaiting(from: Array(self.lanes.keys)) { isMeant($0.element) }.map(\.element)
    }

    /// Takes out what is meant of some lanes.
    mutating func removeWaiting(from lanes: [Lane], where isMeant: (Waiting) -> Bool) -> [Waiting] {
        var removed: [Waiting] = []
        for lane in lanes {
            removed += self.lanes[lane]?.removeWaiting(where: isMeant) ?? []
        }
        self.waitingCount -= removed.count
        return removed
    }

    /// An element has ended; what is learned of its lane is kept when nothing of it is left.
    package mutating func finish(_ turn: Turn, _ word: Pace.Word, at now: ContinuousClock.Instant) {
        guard var state = self.lanes[turn.lane], state.running > 0 else {
            preconditionFailure("more ends than beginnings in lane \(turn.lane)")
        }
        let doubtful = state.doubtful
        state.running -= 1
        state.lastGood = word == .good ? now : state.lastGood
        state.pace.hear(word, after: now - turn.began, begunAt: turn.cuts, self.policy)
        if word == .tooFast, state.pace.interval > .zero {
            state.restsUntil = now + state.pace.interval
        }
        self.doubtfulCount += state.doubtful - doubtful
        self.runningCount -= 1
        if state.running == 0, state.waiting.isEmpty, !state.isListed {
            self.lanes[turn.lane] = nil
            self.remember(state, of: turn.lane)
        } else {
            if state.list() {
                self.turn.append(turn.lane)
            }
            self.lanes[turn.lane] = state
        }
        if self.doubtfulCount < self.doubtfulLimit {
            self.turn.append(contentsOf: self.parked)
            self.parked.removeAll(keepingCapacity: true)
        }
    }

    /// What waited in a lane was taken out before its turn came.
    private mutating func unlist(_ lane: Lane) {
        self.lanes[lane]?.isListed = false
        if let state = self.lanes[lane], state.running == 0 {
            self.lanes[lane] = nil
            self.remember(state, of: lane)
        }
    }

    private mutating func remember(_ state: LaneState, of lane: Lane) {
        if self.remembered.count >= Self.memory, let any = self.remembered.keys.first {
            self.remembered[any] = nil
        }
        self.remembered[lane] = state
    }
}
