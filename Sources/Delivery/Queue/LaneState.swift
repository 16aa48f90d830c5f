import DequeModule

extension ReadyQueue {
    /// An element that has not begun.
    struct Waiting: Sendable {
        let element: Element
        let since: ContinuousClock.Instant
    }

    /// One lane: its pace, what waits in it and how much of it runs.
    struct LaneState: Sendable {
        var pace: Pace
        var waiting: Deque<Waiting> = []
        var running = 0
        var restsUntil: ContinuousClock.Instant?
        /// When something of it last went well.
        var lastGood: ContinuousClock.Instant?
        /// In `turn`, `resting` or `parked`; never twice.
        var isListed = false

        init(pace: Pace) {
            self.pace = pace
        }

        var doubtful: Int {
            self.pace.isProven ? 0 : self.running
        }

        /// Marks the lane as listed if it is to be: it has something waiting and room to run it, and is not listed yet.
        mutating func list() -> Bool {
            guard !self.isListed, !self.waiting.isEmpty, self.running < self.pace.limit else {
                return false
            }
            self.isListed = true
            return true
        }

        /// Adds what is to wait; tells whether the lane stands in line now, as `list` does.
        mutating func append(_ element: Element, at now: ContinuousClock.Instant) -> Bool {
            self.waiting.append(.init(element: element, since: now))
            return self.list()
        }

        /// Takes the first that waits; tells whether the lane stands in line again, as `list` does.
        mutating func begin(at now: ContinuousClock.Instant) -> (element: Element, pace: Pace, isListed: Bool)? {
            guard let waiting = self.waiting.popFirst() else {
                return nil
            }
            self.running += 1
            self.isListed = false
            self.restsUntil = self.pace.interval > .zero ? now + self.pace.interval : nil
            return (waiting.element, self.pace, self.list())
        }

        mutating func removeWaiting(where isMeant: (Waiting) -> Bool) -> [Waiting] {
            let removed = self.waiting.filter(isMeant)
            if !removed.isEmpty {
                self.waiting.removeAll(where: isMeant)
            }
            return Array(removed)
        }
    }
}
