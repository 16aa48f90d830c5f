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

        mutating func begin(at now: ContinuousClock.Instant) -> (element: Element, pace: Pace)? {
            guard let waiting = self.waiting.popFirst() else {
                return nil
            }
            self.running += 1
            self.isListed = false
            self.restsUntil = self.pace.interval > .zero ? now + self.pace.interval : nil
            return (waiting.element, self.pace)
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
