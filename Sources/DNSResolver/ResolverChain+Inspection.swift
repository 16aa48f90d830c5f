package import DNSProtocol
import MailModel

/// What one source said when all were asked side by side, for `hikyaku dns lookup`.
package struct SourceReport: Sendable, Hashable, Codable {
    package var source: String
    /// `MX`, `A`, `AAAA`.
    package var type: String
    /// `udp`, `tcp`, `tls` or `https`.
    package var transport: String
    /// The response code, or why there was no response.
    package var result: String
    package var isAuthenticated: Bool
    /// `ra ad`; empty where there was no response.
    package var flags: String
    package var records: [String]
    /// Seconds; nil without records.
    package var timeToLive: UInt32?
    package var milliseconds: Int64
}

/// How one source stands, for `hikyaku dns sources`.
package struct SourceState: Sendable {
    package var source: DNSSource
    package var isHealthy: Bool
    /// Why it failed last, and for how long it has been failing; nil while it is healthy.
    package var failure: String?
    package var failingFor: Duration?
    /// How often others had what it denied.
    package var contradictions: Int
    /// Whether its word that it validated an answer counts.
    package var isTrusted: Bool
    /// Whether it has said that it validated one, and was not found since to do so no more.
    package var validates: Bool
    package var usesEDNS: Bool
}

extension ResolverChain {
    /// The sources as they would be asked now, and how they stand.
    package func sourceReports() -> [SourceState] {
        let missing = self.systemFinding.map { finding in
            SourceState(
                source: .system,
                isHealthy: false,
                failure: finding,
                contradictions: 0,
                isTrusted: false,
                validates: false,
                usesEDNS: true
            )
        }
        let states = self.health.ordered(self.expandedSources()).map { source in
            let report = self.health.report(source)
            return SourceState(
                source: source,
                isHealthy: report.isHealthy,
                failure: report.failure?.description,
                failingFor: report.failingFor,
                contradictions: report.contradictions,
                isTrusted: self.configuration.trusts(source),
                validates: report.validates,
                usesEDNS: report.usesEDNS
            )
        }
        return states + (missing.map { [$0] } ?? [])
    }

    /// What is wrong when the operator counts on the system's servers and there is none.
    var systemFinding: String? {
        guard self.configuration.sources.contains(.system), self.system.current().isEmpty else {
            return nil
        }
        return "\(self.configuration.resolvConfPath) is missing or names no server"
    }

    /// Asks every source the same questions, past all caches; what an operator tries out is held against nobody.
    package func inspect(_ name: String, types: [RecordType]) async -> [SourceReport] {
        guard let domain = DomainName(name) else {
            return []
        }
        let sources = self.expandedSources()
        let questions = types.flatMap { type in sources.map { ($0, Question(type, domain)) } }
        return await withTaskGroup(of: (Int, SourceReport).self) { group in
            for (index, (source, question)) in questions.enumerated() {
                group.addTask {
                    (
                        index,
                        SourceReport(
                            await self.client.ask(question, of: source, self.manner(source)),
                            to: question,
                            source
                        )
                    )
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
                .sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}

extension SourceReport {
    fileprivate init(_ answer: SourceAnswer, to question: Question, _ source: DNSSource) {
        var records: [String] = []
        var timeToLive: UInt32?
        if case .records(let data, let seconds) = answer.interpretation {
            records = data.map(\.description)
            timeToLive = seconds
        }
        self.init(
            source: source.description,
            type: question.type.description,
            transport: answer.transport.rawValue,
            result: Self.result(answer),
            isAuthenticated: answer.isAuthenticated,
            flags: answer.message?.flags ?? "",
            records: records,
            timeToLive: timeToLive,
            milliseconds: answer.elapsed.wholeMilliseconds
        )
    }

    /// The response code with the server's reasons, and what else is the matter with the response.
    private static func result(_ answer: SourceAnswer) -> String {
        guard let message = answer.message else {
            return answer.interpretation.summary
        }
        switch answer.interpretation.failure {
        case .lame?, .aliasLoop?, .garbage?: return "\(message.code) (\(answer.interpretation.summary))"
        case .code?, .silence?, .transport?, nil:
            let reasons = message.extendedErrors.map(\.description).joined(separator: ", ")
            return reasons.isEmpty ? "\(message.code)" : "\(message.code) (\(reasons))"
        }
    }
}
