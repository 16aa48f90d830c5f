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
            self.rows.map { column < $0.count ? terminalColumns($0[column]) : 0 }.max() ?? 0
        }
        return self.rows.map { row in
            row.enumerated().map { index, cell in
                let space = String(repeating: " ", count: max(0, widths[index] - terminalColumns(cell)))
                if self.rightAligned.contains(index) {
                    return space + cell
                }
                return index == row.count - 1 ? cell : cell + space
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}

/// Text of peers on a terminal: control characters, escape sequences and changes of direction do nothing there.
func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { isHarmless($0) ? $0 : "?" }))
}

/// Whether a scalar is only ever text.
func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F, 0x2028...0x202E, 0x2066...0x2069: false
    default: true
    }
}

/// The columns that a text takes on a terminal: two for the characters of East Asia and for pictures.
func terminalColumns(_ text: String) -> Int {
    text.reduce(0) { $0 + ($1.isWide ? 2 : 1) }
}

extension Character {
    /// Whether it is wide by Unicode's East Asian Width (UAX #11), told by its first scalar.
    fileprivate var isWide: Bool {
        guard let scalar = self.unicodeScalars.first else {
            return false
        }
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
            0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6,
            0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            return true
        default:
            return false
        }
    }
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
