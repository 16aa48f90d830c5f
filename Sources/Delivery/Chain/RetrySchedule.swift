/// When a recipient is tried again: exponential backoff with jitter, within bounds.
package struct RetrySchedule: Sendable, Hashable {
    /// The wait after the first round.
    package let firstDelay: Duration
    /// The longest wait when a next hop says "later".
    package let maximumDelay: Duration
    /// The longest wait when no way out could be used at all, since then any recovery helps everybody.
    package let outageDelay: Duration
    /// The wait before a message that may already have been accepted is sent again.
    package let ambiguousDelay: Duration

    package init(
        firstDelay: Duration = .seconds(30),
        maximumDelay: Duration = .seconds(30 * 60),
        outageDelay: Duration = .seconds(60),
        ambiguousDelay: Duration = .seconds(60)
    ) {
        self.firstDelay = firstDelay
        self.maximumDelay = maximumDelay
        self.outageDelay = outageDelay
        self.ambiguousDelay = ambiguousDelay
    }

    /// The wait after a round.
    ///
    /// - Parameters:
    ///   - rounds: Rounds that have ended without delivery, this one included; 1 or more.
    ///   - outage: Whether every way failed for reasons that have nothing to do with this message.
    ///   - chance: A number from 0 to 1 that spreads the waits by a fifth to either side.
    /// - Returns: The time from the end of the round to the next one.
    package func delay(afterRounds rounds: Int, outage: Bool, chance: Double) -> Duration {
        let doubled = self.firstDelay * (1 << min(max(rounds, 1) - 1, 20))
        return min(doubled, outage ? self.outageDelay : self.maximumDelay) * (0.8 + 0.4 * chance)
    }
}
