import DequeModule

/// What can be attempted now, in lanes, so that a slow destination holds up nobody but itself.
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

    private struct LaneState {
        var waiting: Deque<Element> = []
        var running = 0
        var isListed = false
    }

    private var lanes: [Lane: LaneState] = [:]
    /// Lanes that have something waiting and room to run it, each once, in turn.
    private var turn: Deque<Lane> = []
    /// The most that may run in one lane at a time.
    private let laneLimit: Int
    /// What waits in all lanes.
    package private(set) var waitingCount = 0
    package private(set) var runningCount = 0

    /// Makes an empty queue whose lanes run at most `laneLimit` elements at a time.
    package init(laneLimit: Int) {
        self.laneLimit = max(1, laneLimit)
    }

    package mutating func append(_ element: Element, to lane: Lane) {
        self.lanes[lane, default: LaneState()].waiting.append(element)
        self.waitingCount += 1
        self.list(lane)
    }

    /// The next element to run, by turns of the lanes; nil when nothing waits or all lanes that have something are full.
    package mutating func next() -> (lane: Lane, element: Element)? {
        guard let lane = self.turn.popFirst(), var state = self.lanes[lane], let element = state.waiting.popFirst()
        else {
            return nil
        }
        state.running += 1
        state.isListed = false
        self.lanes[lane] = state
        self.waitingCount -= 1
        self.runningCount += 1
        self.list(lane)
        return (lane, element)
    }

    /// An element of the lane has ended; a lane with nothing left is forgotten.
    package mutating func finish(_ lane: Lane) {
        guard let running = self.lanes[lane]?.running, running > 0 else {
            preconditionFailure("more ends than beginnings in lane \(lane)")
        }
        self.lanes[lane]?.running -= 1
        self.runningCount -= 1
        self.list(lane)
        if let state = self.lanes[lane], state.running == 0, state.waiting.isEmpty {
            self.lanes[lane] = nil
        }
    }

    private mutating func list(_ lane: Lane) {
        guard let state = self.lanes[lane], !state.isListed, !state.waiting.isEmpty, state.running < self.laneLimit
        else {
            return
        }
        self.lanes[lane]?.isListed = true
        self.turn.append(lane)
    }
}
