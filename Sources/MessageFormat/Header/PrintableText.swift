/// Text from outside made fit for a log line, a record or a report.
package enum PrintableText {
    /// One line of at most `limit` characters: control and direction characters become spaces, an ellipsis marks a cut.
    package static func line(_ text: some StringProtocol, limit: Int) -> String {
        var scalars = String.UnicodeScalarView()
        // A character may be any number of scalars, so these are bounded as well.
        for scalar in text.unicodeScalars.prefix(limit * 4 + 1) {
            scalars.append(isUnfit(scalar) ? " " : scalar)
        }
        let line = String(scalars)
        guard line.count > limit || scalars.count > limit * 4 else {
            return line
        }
        return String(line.prefix(max(0, limit - 1))) + "…"
    }

    private static func isUnfit(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069, 0xFEFF: true
        default: false
        }
    }
}
