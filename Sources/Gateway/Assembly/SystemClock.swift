import Delivery
import FoundationEssentials
package import MailModel

/// The machine's clocks and its random numbers.
struct SystemClock: DeliveryClock {
    var now: ContinuousClock.Instant {
        .now
    }

    var wallTime: Timestamp {
        .now
    }

    func chance() -> Double {
        .random(in: 0...1)
    }

    func sleep(until moment: ContinuousClock.Instant) async throws {
        try await Task.sleep(until: moment, clock: .continuous)
    }
}

extension Timestamp {
    /// The civil clock when this process began, and the clock that does not jump at the same moment.
    private static let start = (civil: Timestamp.civil, steady: ContinuousClock.now)

    /// The present moment for all that is due, expires or is compared: civil time as of the start of this process.
    ///
    /// It does not follow when somebody sets the clock: nothing waits for a day, and nothing expires, because a clock was
    /// set. `MessageStore` moves its times along at the next start.
    package static var now: Timestamp {
        self.start.civil + (ContinuousClock.now - self.start.steady)
    }

    /// The present moment by the system's civil clock, for people and other hosts.
    package static var civil: Timestamp {
        Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
    }
}
