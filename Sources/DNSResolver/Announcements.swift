import Synchronization

/// What was told to the log lately, so that the same thing is not told at each message.
final class Announcements: Sendable {
    private static let interval = Duration.seconds(600)
    private static let limit = 1_000

    private let told = Mutex<[String: ContinuousClock.Instant]>([:])

    /// Whether it is to be told now; then it counts as told.
    func isDue(_ key: String) -> Bool {
        self.told.withLock { told in
            let now = ContinuousClock.now
            if let last = told[key], now - last < Self.interval {
                return false
            }
            if told.count >= Self.limit {
                told = [:]
            }
            told[key] = now
            return true
        }
    }
}
