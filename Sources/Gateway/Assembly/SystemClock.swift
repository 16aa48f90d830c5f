import Delivery
package import MailModel

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

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
        var time = timespec()
        // Cannot fail for CLOCK_REALTIME with a valid pointer.
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
    }
}
