import Delivery
package import MailModel
import Synchronization

/// Time that stands still until a test moves it, and chance that always says one half.
package final class ManualDeliveryClock: DeliveryClock {
    private struct Sleeper {
        var wakesAt: Duration
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var elapsed: Duration = .zero
        var sleepers: [Int: Sleeper] = [:]
        var nextKey = 0
        var cancelled: Set<Int> = []
    }

    private let origin = ContinuousClock.now
    private let wallOrigin: Timestamp
    private let state = Mutex(State())

    /// Begins at a moment of civil time; 2026-11-24T10:00:00Z unless said.
    package init(_ wallTime: Timestamp = Timestamp(seconds: 1_795_514_400)) {
        self.wallOrigin = wallTime
    }

    package var now: ContinuousClock.Instant {
        self.origin + self.state.withLock(\.elapsed)
    }

    package var wallTime: Timestamp {
        self.wallOrigin + self.state.withLock(\.elapsed)
    }

    package func chance() -> Double {
        0.5
    }

    package func sleep(until moment: ContinuousClock.Instant) async throws {
        let wakesAt = self.origin.duration(to: moment)
        let key = self.state.withLock { state in
            state.nextKey += 1
            return state.nextKey
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (isCancelled, isOver) = self.state.withLock { state in
                    let (isCancelled, isOver) = (state.cancelled.contains(key), wakesAt <= state.elapsed)
                    if !isCancelled, !isOver {
                        state.sleepers[key] = Sleeper(wakesAt: wakesAt, continuation: continuation)
                    }
                    return (isCancelled, isOver)
                }
                if isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else if isOver {
                    continuation.resume()
                }
            }
        } onCancel: {
            let sleeper = self.state.withLock { state in
                state.cancelled.insert(key)
                return state.sleepers.removeValue(forKey: key)
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Whether somebody sleeps until exactly this moment.
    package func sleeps(until moment: ContinuousClock.Instant) -> Bool {
        let wakesAt = self.origin.duration(to: moment)
        return self.state.withLock { $0.sleepers.values.contains { $0.wakesAt == wakesAt } }
    }

    /// Moves time on until the next one wakes; not at all if none is due within a while, as before he has come to sleep.
    package func advanceToNextWake(within limit: Duration) {
        let (elapsed, next) = self.state.withLock { ($0.elapsed, $0.sleepers.values.map(\.wakesAt).min()) }
        if let next, next - elapsed <= limit {
            self.advance(by: next - elapsed)
        }
    }

    /// Moves time on and wakes who slept until then.
    package func advance(by duration: Duration) {
        let woken = self.state.withLock { state in
            state.elapsed += duration
            let due = state.sleepers.filter { $0.value.wakesAt <= state.elapsed }
            due.keys.forEach { state.sleepers[$0] = nil }
            return due.values.sorted { $0.wakesAt < $1.wakesAt }
        }
        woken.forEach { $0.continuation.resume() }
    }
}
