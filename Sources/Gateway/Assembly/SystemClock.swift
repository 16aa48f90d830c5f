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

    func sleep(for duration: Duration) async throws {
        try await Task.sleep(for: duration)
    }
}

extension Timestamp {
    /// The present moment by the system's civil clock.
    package static var now: Timestamp {
        Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
    }
}
