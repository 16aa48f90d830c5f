package import MailModel

/// Time and chance for the queue, handed in so that tests can hold both still.
package protocol DeliveryClock: Sendable {
    /// For intervals and deadlines; does not jump.
    var now: ContinuousClock.Instant { get }
    /// For what is written down.
    var wallTime: Timestamp { get }
    /// A number from 0 to 1.
    func chance() -> Double
    /// Waits; throws when the task is cancelled.
    func sleep(for duration: Duration) async throws
}
