import MailModel

/// Columns as wide as their widest cell, two spaces apart; the last one is not padded.
struct TextTable {
    private var rows: [[String]] = []
    private let rightAligned: Set<Int>

    init(rightAligned: Set<Int> = []) {
        self.rightAligned = rightAligned
    }

    mutating func add(_ cells: String...) {
        self.rows.append(cells)
    }

    var text: String {
        let columns = self.rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            self.rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return self.rows.map { row in
            row.enumerated().map { index, cell in
                let space = String(repeating: " ", count: max(0, widths[index] - cell.count))
                if self.rightAligned.contains(index) {
                    return space + cell
                }
                return index == row.count - 1 ? cell : cell + space
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}

/// Text of peers on a terminal: control characters and escape sequences do nothing there.
func printable(_ text: String) -> String {
    String(
        String.UnicodeScalarView(
            text.unicodeScalars.map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : $0 }
        )
    )
}

/// Octets for people: `312 B`, `1.2 KiB`, `3.4 MiB`.
func humanSize(_ octets: Int) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
    for (unit, name) in units where octets >= unit {
        let tenths = octets * 10 / unit
        return "\(tenths / 10).\(tenths % 10) \(name)"
    }
    return "\(octets) B"
}

/// A span for people: `140 ms`, `0.9 s`, `12 s`, `3 min`, `2 h`, `4 d`.
func humanDuration(_ duration: Duration) -> String {
    let milliseconds = max(0, duration.wholeMilliseconds)
    switch milliseconds {
    case ..<200: return "\(milliseconds) ms"
    case ..<10_000: return "\(milliseconds / 1_000).\(milliseconds % 1_000 / 100) s"
    case ..<120_000: return "\(milliseconds / 1_000) s"
    case ..<7_200_000: return "\(milliseconds / 60_000) min"
    case ..<172_800_000: return "\(milliseconds / 3_600_000) h"
    default: return "\(milliseconds / 86_400_000) d"
    }
}
