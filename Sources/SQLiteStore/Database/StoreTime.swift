import Delivery
import Foundation
package import MailModel

/// The same moment by two clocks.
package struct StoreTime: Hashable, Sendable {
    /// By the clock that the store's times are in: it is set once, when the process starts, and never jumps.
    package let steady: Timestamp
    /// By the system's civil clock, which people and time servers set.
    package let civil: Timestamp

    package init(steady: Timestamp, civil: Timestamp) {
        self.steady = steady
        self.civil = civil
    }

    /// The civil clock for both; for processes that end soon.
    package static var civil: StoreTime {
        let now = Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
        return StoreTime(steady: now, civil: now)
    }

    /// How far the times in a store must be moved, so that they mean for this run what they meant for the last one.
    ///
    /// That is how far the civil clock jumped while the last run counted steadily, and how far it went back since: a run
    /// begins with the civil clock. How far it went forward since cannot be told from how long nothing ran. Nil for what
    /// is no more than the drift and the corrections of any clock.
    static func shift(from last: StoreTime?, to now: StoreTime) -> Duration? {
        guard let last else {
            return nil
        }
        let shift = (last.civil - last.steady) + min(.zero, now.civil - last.civil)
        return shift > .seconds(-60) && shift < .seconds(60) ? nil : shift
    }
}

extension Connection {
    /// Moves the times at which unfinished recipients and closed ways are due.
    func shiftTimes(by shift: Duration) throws {
        let microseconds = SQLValue.integer(shift.wholeMicroseconds)
        // A due time of 0 says "at once".
        try self.run(
            """
            UPDATE recipients SET due_at = CASE WHEN due_at > 0 THEN max(1, due_at + ?1) ELSE due_at END,
                deferred_since = deferred_since + ?1
            WHERE state <= 2
            """,
            [microseconds]
        )
        try self.run("UPDATE messages SET expires_at = expires_at + ? WHERE finished_at IS NULL", [microseconds])
        try self.run("UPDATE breakers SET open_until = open_until + ?1, opened_at = opened_at + ?1", [microseconds])
    }

    /// Moves to this moment what is in the future and cannot be, as after a run whose clock was wrong: else it would be
    /// kept, or believed, until then.
    ///
    /// Nothing is moved while the clock stands before the first store there ever was, as that of a machine may that has
    /// just been switched on.
    func endFuture(at now: Timestamp) throws {
        guard now >= Self.firstStore else {
            return
        }
        let moment = SQLValue.integer(now.microseconds)
        try self.run("UPDATE messages SET finished_at = ?1 WHERE finished_at > ?1", [moment])
        try self.run("UPDATE answers SET received_at = ?1 WHERE received_at > ?1", [moment])
        try self.run(
            "UPDATE sts_policies SET expires_at = expires_at - fetched_at + ?1, fetched_at = ?1 WHERE fetched_at > ?1",
            [moment]
        )
        let longest = now + Self.longestMemory
        try self.run("DELETE FROM clear_text_hosts WHERE until > ?", [.integer(longest.microseconds)])
        try self.run("UPDATE OR IGNORE tls_results SET day = ?1 WHERE day > ?1", [.integer(now.day)])
        try self.run("DELETE FROM tls_results WHERE day > ?", [.integer(now.day)])
    }

    /// 2026-11-24.
    private static var firstStore: Timestamp { Timestamp(seconds: 1_795_478_400) }
    /// No host is remembered for longer by what it once did.
    private static var longestMemory: Duration { .seconds(86_400) }
}
