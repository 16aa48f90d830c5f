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
    package var records: [String]
    /// Seconds; nil without records.
    package var timeToLive: UInt32?
    package var milliseconds: Int64
}

extension ResolverChain {
    /// Asks every source the same questions, past all caches.
    package func inspect(_ name: String, types: [RecordType]) async -> [SourceReport] {
        guard let domain = DomainName(name) else {
            return []
        }
        let sources = self.expandedSources()
        let questions = types.flatMap { type in sources.map { ($0, Question(type, domain)) } }
        return await withTaskGroup(of: (Int, SourceReport).self) { group in
            for (index, (source, question)) in questions.enumerated() {
                group.addTask {
                    (index, SourceReport(await self.ask(question, of: source), to: question, source))
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
            result: answer.message?.code.description ?? answer.interpretation.summary,
            isAuthenticated: answer.message?.isAuthenticated ?? false,
            records: records,
            timeToLive: timeToLive,
            milliseconds: answer.elapsed.wholeMilliseconds
        )
    }
}
