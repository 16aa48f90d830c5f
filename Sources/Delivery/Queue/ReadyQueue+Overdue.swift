/// Whether waiting for a turn is still the best that can be done.
///
/// A backlog that flows is waited for, however long it is. One that a next hop hardly takes, or that nothing is heard of, is
/// not: there may be another way.
extension ReadyQueue {
    /// When the one came that has waited longest; nil when nothing waits.
    package var longestWaiting: ContinuousClock.Instant? {
        self.lanes.values.lazy.compactMap(\.waiting.first?.since).min()
    }

    /// Whether what comes to a lane now would wait longer than `patience`, since it is in trouble or told to be slow.
    package func isStuck(_ lane: Lane, patience: Duration) -> Bool {
        guard let state = self.lanes[lane], !state.waiting.isEmpty, state.pace.isSlowed else {
            return false
        }
        return self.expectedInterval(of: lane) * (state.waiting.count + 1) >= patience
    }

    /// Takes out what came before `limit` and waits in a lane that is told to be slow, or where nothing has gone well since.
    package mutating func removeOverdue(
        before limit: ContinuousClock.Instant,
        where isMeant: (Element) -> Bool
    ) -> [(element: Element, since: ContinuousClock.Instant)] {
        var removed: [Waiting] = []
        let lanes = self.lanes.filter { $0.value.waiting.first.map { $0.since <= limit } ?? false }
        for (lane, state) in lanes.mapValues({ (rests: $0.pace.interval > .zero, lastGood: $0.lastGood) }) {
            removed += self.removeWaiting(from: [lane]) { waiting in
                waiting.since <= limit && (state.rests || state.lastGood.map { $0 < waiting.since } ?? true)
                    && isMeant(waiting.element)
            }
        }
        return removed.map { ($0.element, $0.since) }
    }
}
