/// One thing that is wrong in the configuration, told so that it can be mended without asking anybody.
package struct ConfigurationProblem: Hashable, Sendable, CustomStringConvertible {
    /// The file, or `environment`.
    package var source: String
    /// From 1; nil where no line is to blame.
    package var line: Int?
    package var message: String

    package init(source: String, line: Int? = nil, message: String) {
        self.source = source
        self.line = line
        self.message = message
    }

    /// `hikyaku.yaml:12: providers.gmial is not in the chain ...; did you mean "gmail"?`.
    package var description: String {
        let place = self.line.map { "\(self.source):\($0)" } ?? self.source
        return "\(place): \(self.message)"
    }
}

/// Everything that is wrong, in the order of the file.
package struct ConfigurationFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package let problems: [ConfigurationProblem]

    package init(_ problems: [ConfigurationProblem]) {
        self.problems = problems
    }

    package var description: String {
        self.problems.map(\.description).joined(separator: "\n")
    }
}

/// The nearest of the words that are known, if one is near enough to have been meant.
func nearest(to word: String, among known: some Sequence<String>) -> String? {
    let ranked = known.map { ($0, editDistance(word.lowercased(), $0.lowercased())) }.min { $0.1 < $1.1 }
    guard let (best, distance) = ranked, distance <= max(2, word.count / 3) else {
        return nil
    }
    return best
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
private func editDistance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left.utf8.prefix(64)), Array(right.utf8.prefix(64)))
    var rows = [[Int]](repeating: [Int](repeating: 0, count: right.count + 1), count: left.count + 1)
    for i in 0...left.count {
        for j in 0...right.count {
            guard i > 0, j > 0 else {
                rows[i][j] = max(i, j)
                continue
            }
            let replaced = rows[i - 1][j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1)
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, replaced)
            if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
            }
        }
    }
    return rows[left.count][right.count]
}
