import DNSProtocol
import DNSResolver
import MailModel

/// All sources side by side: the test domain, the hosts that the chain needs, and a name that does not exist.
struct SourcesCheck: DoctorCheck {
    let name = "dns"

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        let table = await Self.table(
            surroundings.resolver,
            [surroundings.domain] + (await surroundings.waitingDomains()),
            hosts: surroundings.hosts.map(\.host)
        )
        return Self.findings(table, surroundings.resolver.sources().map(\.source), since: surroundings.failingSince)
    }

    /// Asks every source for MX, A and AAAA of domains, and for the addresses of hosts.
    static func table(_ resolver: ResolverChain, _ domains: [String], hosts: [String]) async -> SourceTable {
        let label = String(UInt64.random(in: .min ... .max), radix: 36)
        async let inventions = resolver.inspect("hikyaku-\(label).invalid", types: [.a])
        let others = Set(hosts).subtracting(domains).sorted().filter { !resolver.isNeverLookedUp($0) }.prefix(8)
        let questions = domains.map { ($0, [RecordType.mx, .a, .aaaa]) } + others.map { ($0, [RecordType.a, .aaaa]) }
        let reports = await withTaskGroup(of: (Int, [NamedReport]).self) { group in
            for (index, (name, types)) in questions.enumerated() {
                group.addTask { (index, await Self.ask(resolver, name, types)) }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.flatMap(\.1)
        }
        return SourceTable(reports: reports, inventions: await inventions)
    }

    private static func ask(_ resolver: ResolverChain, _ name: String, _ types: [RecordType]) async -> [NamedReport] {
        await resolver.inspect(name, types: types).map { NamedReport(name: name, report: $0) }
    }

    /// One line a source, in the order in which they are asked.
    static func findings(
        _ table: SourceTable,
        _ sources: [DNSSource],
        since: [String: Timestamp]
    ) -> [DoctorFinding] {
        sources.map { source in
            let name = source.description
            let trouble = table.trouble(of: name)
            let detail = (trouble.map { "\($0.text): " } ?? "") + table.words(of: name)
            return DoctorFinding(
                "dns \(name)",
                trouble == nil ? .pass : .fail,
                detail,
                fact: .source(name, trouble, since: since[name])
            )
        }
    }
}
