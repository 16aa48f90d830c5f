import DNSProtocol
import DNSResolver
import MailModel

/// Each server over each transport by itself, and many questions at once: what a lookup that succeeds in the end hides.
struct LegsCheck: DoctorCheck {
    let name = "transport"

    /// As many as a busy gateway has under way; more than 100 made old engines refuse.
    private static let burst = 50

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        let reports = await surroundings.resolver.legs(surroundings.domain, .mx)
        guard !surroundings.isInBackground else {
            return Self.findings(reports)
        }
        let burst = await surroundings.resolver.burst(surroundings.domain, count: Self.burst)
        return Self.findings(reports) + (burst.map { [Self.finding($0.source, $0.results)] } ?? [])
    }

    /// A line for each server that does worse over one transport than over another; one for all that do not.
    static func findings(_ reports: [LegReport]) -> [DoctorFinding] {
        var sources: [String] = []
        for report in reports where !sources.contains(report.source) {
            sources.append(report.source)
        }
        var even: [String] = []
        var silent: [String] = []
        var findings: [DoctorFinding] = []
        for source in sources {
            let own = reports.filter { $0.source == source }
            let good = own.filter(\.isAnswer)
            guard !good.isEmpty else {
                silent.append(source)
                continue
            }
            guard good.count < own.count else {
                even.append(source)
                continue
            }
            let words = own.map { "\($0.leg.rawValue) \($0.words)" }.joined(separator: ", ")
            findings.append(DoctorFinding("transport", .warn, "\(source): \(words)\(Self.advice(own))"))
        }
        if !even.isEmpty {
            let list = even.joined(separator: ", ")
            findings.append(DoctorFinding("transport", .pass, "UDP, EDNS and TCP do alike at \(list)"))
        }
        if !silent.isEmpty {
            let list = silent.joined(separator: ", ")
            findings.append(DoctorFinding("transport", .skip, "no good answer over any transport from \(list)"))
        }
        return findings
    }

    private static func advice(_ own: [LegReport]) -> String {
        let failing = Set(own.filter { !$0.isAnswer }.map(\.leg))
        if failing == [.stream] {
            return ": long answers cannot be had from it; open TCP port 53, or mend the server behind it"
        }
        return failing == [.extended] ? ": we ask it without EDNS" : ""
    }

    /// Judges many questions at once.
    static func finding(_ source: String, _ results: [LegReport.Result: Int]) -> DoctorFinding {
        let count = results.values.reduce(0, +)
        let bad = results.filter { !$0.key.isAnswer }
        let lost = bad.values.reduce(0, +)
        // When nothing is answered, it is not the number of questions.
        guard lost > 0, lost < count else {
            return DoctorFinding("burst", .pass, "\(source) does the same with \(count) questions at once")
        }
        let words = bad.map { "\($0.value)x \($0.key.words)" }.sorted().joined(separator: ", ")
        return DoctorFinding(
            "burst",
            .warn,
            "\(source) lost \(lost) of \(count) questions at once (\(words)): it limits or drops them; so we ask others, too"
        )
    }
}

extension LegReport {
    fileprivate var isAnswer: Bool { self.result.isAnswer }
    fileprivate var words: String { self.result.words }
}

extension LegReport.Result {
    fileprivate var isAnswer: Bool {
        switch self {
        case .answer(.noError, _), .answer(.noSuchName, _): true
        case .answer, .failure: false
        }
    }

    fileprivate var words: String {
        switch self {
        case .answer(let code, let isTruncated): isTruncated ? "truncated" : code == .noError ? "ok" : code.description
        case .failure(let text): text
        }
    }
}
