package import MailModel

/// Time and chance for the queue, handed in so that tests can hold both still.
package protocol DeliveryClock: Sendable {
    /// For intervals and deadlines; does not jump.
    var now: ContinuousClock.Instant { get }
    /// For what is written down.
    var wallTime: Timestamp { get }
    /// A number from 0 to 1.
    func chance() -> Double
    /// Waits until a moment, not at all when it is past; throws when the task is cancelled.
    ///
    /// A moment and not a duration, so that time which passes between the decision and the call is not added.
    func sleep(until moment: ContinuousClock.Instant) async throws
}
