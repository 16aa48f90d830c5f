import DNSResolver
import MailModel

/// What all sources said to the same questions, and what that says of each of them.
struct SourceTable {
    /// Questions about the domain that mail goes to, and about hosts that the chain needs.
    let reports: [NamedReport]
    /// Answers to a made-up name, which must not exist.
    let inventions: [SourceReport]

    /// What is wrong with a source; nil when nothing is.
    func trouble(of source: String) -> SourceTrouble? {
        let own = self.reports.filter { $0.source == source }
        let bad = own.filter { AnswerTrouble(result: $0.result) != nil }
        if let first = bad.first, let how = AnswerTrouble(result: first.result) {
            let good = Set(own.map(\.type)).subtracting(bad.map(\.type))
            guard !good.isEmpty else {
                return bad.count == own.count ? .whole(how) : .often(bad.count, of: own.count, how)
            }
            return .partial(good: Self.ordered(good), bad: Self.ordered(Set(bad.map(\.type))), how)
        }
        if self.inventions.contains(where: { $0.source == source && !$0.records.isEmpty }) {
            return .invents
        }
        return own.lazy.compactMap(self.denial).first
    }

    /// A source that has nothing where others have something; of IPv6, which local names often lack, most of the others.
    private func denial(_ report: NamedReport) -> SourceTrouble? {
        guard report.records.isEmpty else {
            return nil
        }
        let answers = self.reports.filter { other in
            other.type == report.type && other.name == report.name && AnswerTrouble(result: other.result) == nil
        }
        let having = answers.count { !$0.records.isEmpty }
        let isDenial = report.type == "AAAA" ? having > 1 && having * 2 > answers.count : having * 2 >= answers.count
        return isDenial && having > 0 ? .denies(name: report.name, type: report.type) : nil
    }

    /// The answers of a source in a few words: `MX 5 in 12 ms, A 1 in 2 ms, AAAA REFUSED in 1 ms`.
    func words(of source: String) -> String {
        var names: [String] = []
        for report in self.reports where report.source == source && !names.contains(report.name) {
            names.append(report.name)
        }
        return names.map { name in
            let own = self.reports.filter { $0.source == source && $0.name == name }
            return "\(name) " + own.map(Self.words).joined(separator: ", ")
        }.joined(separator: "; ")
    }

    private static func words(_ report: NamedReport) -> String {
        let result =
            report.result.hasPrefix("NOERROR") && AnswerTrouble(result: report.result) == nil
            ? (report.records.isEmpty ? "none" : "\(report.records.count)") : report.result
        let way = report.transport == "tcp" ? " over TCP" : ""
        return "\(report.type) \(result)\(way) in \(report.milliseconds) ms"
    }

    private static func ordered(_ types: Set<String>) -> [String] {
        ["A", "AAAA", "MX", "TXT"].filter(types.contains)
    }
}

/// One answer with the name that was asked for, which the report itself does not carry.
@dynamicMemberLookup
struct NamedReport: Sendable {
    let name: String
    let report: SourceReport

    subscript<Value>(dynamicMember path: KeyPath<SourceReport, Value>) -> Value {
        self.report[keyPath: path]
    }
}
