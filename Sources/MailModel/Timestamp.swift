/// A moment of civil time, in microseconds since 1970-01-01T00:00:00Z; the store, logs and trace fields use it.
///
/// Intervals are measured with `ContinuousClock`; a timestamp is for what must be read after a restart or by people.
package struct Timestamp: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    /// Microseconds since the epoch; negative before it.
    package let microseconds: Int64

    package init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    package init(seconds: Int64) {
        self.microseconds = seconds.multipliedReportingOverflow(by: 1_000_000).partialValue
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.microseconds < right.microseconds
    }

    package static func + (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(microseconds: left.microseconds.saturatingAdd(right.wholeMicroseconds))
    }

    package static func - (left: Timestamp, right: Timestamp) -> Duration {
        .microseconds(left.microseconds.saturatingAdd(right.microseconds == .min ? .max : -right.microseconds))
    }

    /// Whole seconds since the epoch, rounded down.
    package var secondsSinceEpoch: Int64 {
        self.microseconds >= 0 ? self.microseconds / 1_000_000 : (self.microseconds - 999_999) / 1_000_000
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-24T10:17:03.120Z`.
    package var description: String {
        let civil = self.civil
        return String(unsafeUninitializedCapacity: 24) { octets in
            var text = FixedText(octets)
            text.write(civil.year, digits: 4)
            text.write("-")
            text.write(civil.month, digits: 2)
            text.write("-")
            text.write(civil.day, digits: 2)
            text.write("T")
            text.write(civil)
            text.write(".")
            text.write(civil.millisecond, digits: 3)
            text.write("Z")
            return text.count
        }
    }

    /// The time of day in UTC with milliseconds: `10:17:03.120`.
    package var clockTime: String {
        let civil = self.civil
        return String(unsafeUninitializedCapacity: 12) { octets in
            var text = FixedText(octets)
            text.write(civil)
            text.write(".")
            text.write(civil.millisecond, digits: 3)
            return text.count
        }
    }

    /// The date-time of a header field in UTC (RFC 5322 §3.3): `Tue, 24 Nov 2026 10:17:03 +0000`.
    package var messageDate: String {
        let civil = self.civil
        return String(unsafeUninitializedCapacity: 31) { octets in
            var text = FixedText(octets)
            text.write(weekdayNames[civil.weekday])
            text.write(", ")
            text.write(civil.day, digits: 2)
            text.write(" ")
            text.write(monthNames[civil.month - 1])
            text.write(" ")
            text.write(civil.year, digits: 4)
            text.write(" ")
            text.write(civil)
            text.write(" +0000")
            return text.count
        }
    }

    /// The parts of the moment in the proleptic Gregorian calendar, in UTC.
    package var civil: CivilTime {
        let seconds = self.secondsSinceEpoch
        let day = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        let inDay = Int(seconds - day * 86_400)
        let (year, month, dayOfMonth) = civilDate(daysSinceEpoch: day)
        return CivilTime(
            year: year,
            month: month,
            day: dayOfMonth,
            hour: inDay / 3_600,
            minute: inDay / 60 % 60,
            second: inDay % 60,
            millisecond: Int(self.microseconds - seconds * 1_000_000) / 1_000,
            weekday: Int(((day + 4) % 7 + 7) % 7)
        )
    }
}

/// Calendar parts of a `Timestamp`; months and days count from 1, weekdays from 0 for Sunday.
package struct CivilTime: Hashable, Sendable {
    package let year, month, day, hour, minute, second, millisecond, weekday: Int
}

extension Duration {
    /// The duration in whole microseconds, towards zero, saturating at the ends of `Int64`.
    package var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = self.components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow {
            return seconds < 0 ? .min : .max
        }
        return scaled.saturatingAdd(attoseconds / 1_000_000_000_000)
    }

    /// The duration in whole milliseconds, towards zero.
    package var wholeMilliseconds: Int64 {
        self.wholeMicroseconds / 1_000
    }
}

extension Int64 {
    fileprivate func saturatingAdd(_ other: Int64) -> Int64 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}

private let weekdayNames: [StaticString] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
private let monthNames: [StaticString] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
]

extension FixedText {
    /// The time of day: `10:17:03`.
    fileprivate mutating func write(_ civil: CivilTime) {
        self.write(civil.hour, digits: 2)
        self.write(":")
        self.write(civil.minute, digits: 2)
        self.write(":")
        self.write(civil.second, digits: 2)
    }
}

/// Year, month and day of a day number, by counting in eras of 400 years that begin on 1 March.
private func civilDate(daysSinceEpoch: Int64) -> (year: Int, month: Int, day: Int) {
    let shifted = daysSinceEpoch + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (Int(yearOfEra + era * 400 + (month <= 2 ? 1 : 0)), Int(month), Int(day))
}
