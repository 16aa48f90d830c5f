package import MailModel

/// Dates as HTTP headers and the texts of services write them (RFC 9110 §5.6.7).
package enum HTTPDate {
    /// The first `20 Dec 2021 20:33:21` in a text, read as UTC; nil when there is none.
    package static func find(in text: String) -> Timestamp? {
        let words = text.split(whereSeparator: { $0 == " " || $0 == "," || $0 == "\t" }).prefix(100).map(String.init)
        guard words.count >= 4 else {
            return nil
        }
        for start in 0...(words.count - 4) {
            if let moment = timestamp(words[start..<(start + 4)]) {
                return moment
            }
        }
        return nil
    }

    private static func timestamp(_ words: ArraySlice<String>) -> Timestamp? {
        let words = Array(words)
        let clock = words[3].split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
        guard let day = Int64(words[0]), (1...31).contains(day), let month = monthNames.firstIndex(of: words[1]),
            let year = Int64(words[2]), (1970...9999).contains(year), clock.count == 3,
            let hour = clock[0], (0...23).contains(hour), let minute = clock[1], (0...59).contains(minute),
            let second = clock[2], (0...60).contains(second)
        else {
            return nil
        }
        let days = daysSinceEpoch(year: year, month: Int64(month) + 1, day: day)
        return Timestamp(seconds: days * 86_400 + hour * 3_600 + minute * 60 + second)
    }
}

private let monthNames = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/// Counts days in years that begin on 1 March, for years after 1970.
private func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let shiftedMonth = (month + 9) % 12
    let dayOfYear = (153 * shiftedMonth + 2) / 5 + day - 1
    return shiftedYear * 365 + shiftedYear / 4 - shiftedYear / 100 + shiftedYear / 400 + dayOfYear - 719_468
}
