package import DNSProtocol
package import DNSResolver
import HTTPTransport
import Logging
import NIOPosix

/// What one DNS source said, as `hikyaku dns lookup` shows it.
package typealias LookupReport = SourceReport

extension SourceReport {
    /// Asks the sources of a configuration without a running gateway.
    package static func ask(
        _ domain: String,
        _ types: [RecordType],
        _ configuration: GatewayConfiguration
    ) async -> [SourceReport] {
        let logger = Logger(label: "dns") { _ in SwiftLogNoOpLogHandler() }
        let http = GatewayService.httpClient(configuration, logger: logger)
        let resolver = ResolverFactory.chain(configuration.dns, http: http, archive: nil, logger: logger)
        let reports = await resolver.inspect(domain, types: types)
        http.shutDown()
        return reports
    }

    /// What is asked where nothing else is wished.
    package static let usualTypes: [RecordType] = [.mx, .a, .aaaa]

    /// A table, one line a source and record type.
    package static func table(_ reports: [SourceReport]) -> String {
        var table = TextTable(rightAligned: [5])
        table.add("TYPE", "SOURCE", "RESULT", "FLAGS", "TTL", "MS", "RECORDS")
        for report in reports {
            let records = report.records.prefix(4).joined(separator: ", ")
            let more = report.records.count > 4 ? ", and \(report.records.count - 4) more" : ""
            table.add(
                report.type,
                "\(report.source) (\(report.transport))",
                printable(report.result),
                report.flags.isEmpty ? "-" : printable(report.flags),
                report.timeToLive.map { "\($0)" } ?? "-",
                "\(report.milliseconds)",
                printable(records + more)
            )
        }
        return table.text
    }
}
