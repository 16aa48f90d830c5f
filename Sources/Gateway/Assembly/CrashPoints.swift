import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// An instant at which a test has the gateway die as by a power switch, in the order of a message's life.
///
/// Named in the environment, `HIKYAKU_CRASH_AT=after-write-before-sync:3` for the third time; without that variable nothing
/// of this file is in the way of a message. Used by `Tests/Crash`.
enum CrashPoint: String, CaseIterable, Sendable {
    /// A part of a large content is in its file.
    case duringContentFile = "during-content-file"
    /// The content is complete, in memory or in a synced file; its rows are not written.
    case afterContentBeforeWrite = "after-content-before-write"
    /// A commit is in the write-ahead log and not flushed.
    case afterWriteBeforeSync = "after-write-before-sync"
    /// A submission is durable and its client has not read `250`.
    case afterSyncBeforeReply = "after-sync-before-reply"
    /// An attempt is on record and its final dot or HTTP body is not sent.
    case afterBeginBeforeFinalDot = "after-begin-before-final-dot"
    /// The next hop has answered and the store does not know it.
    case afterFinalDotBeforeOutcome = "after-final-dot-before-outcome"
    /// The outcome is durable and nothing has been made of it.
    case afterOutcomeCommit = "after-outcome-commit"
}

/// Counts how often an instant is reached, and kills the process when it is the time that was asked for.
final class CrashTrigger: Sendable {
    static let variable = "HIKYAKU_CRASH_AT"

    let point: CrashPoint
    private let countdown: Atomic<Int>

    /// Reads the variable; nil when it is not set.
    init?(_ environment: [String: String]) throws(StartupFailure) {
        guard let text = environment[Self.variable], !text.isEmpty else {
            return nil
        }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let count = parts.count == 2 ? Int(parts[1]) : 1
        guard let name = parts.first, let point = CrashPoint(rawValue: String(name)), let count, count > 0 else {
            let names = CrashPoint.allCases.map(\.rawValue).joined(separator: ", ")
            throw StartupFailure("\(Self.variable): expected one of \(names), perhaps with :COUNT, found \"\(text)\"")
        }
        self.point = point
        self.countdown = Atomic(count)
    }

    /// Does not return when this is the instant at which to die.
    func reach(_ point: CrashPoint) {
        guard point == self.point, self.countdown.subtract(1, ordering: .relaxed).newValue == 0 else {
            return
        }
        kill(getpid(), SIGKILL)
        // The signal is certain; not a step further until it is there.
        while true {
            pause()
        }
    }
}
