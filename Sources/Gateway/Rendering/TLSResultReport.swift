package import Delivery
import MailModel
package import SQLiteStore

/// What connections to exchangers said of TLS, as `hikyaku tls results` prints it.
package struct TLSResultReport: Hashable, Sendable {
    /// One line; its JSON form is a promise to scripts.
    package struct Row: Hashable, Sendable, Encodable {
        let day, domain, policy, exchanger, result: String
        let count: Int
        let receivingAddress, sendingAddress, policyText, detail: String
    }

    private static let rowLimit = 10_000

    package let rows: [Row]

    package init(_ counts: [TLSResultCount]) {
        self.init(
            rows: counts.map { count in
                Row(
                    day: String(Timestamp(seconds: count.day * 86_400).description.prefix(10)),
                    domain: count.result.domain,
                    policy: count.result.policy.rawValue,
                    exchanger: count.result.exchanger,
                    result: count.result.kind.rawValue,
                    count: count.count,
                    receivingAddress: count.result.receivingAddress,
                    sendingAddress: count.result.sendingAddress,
                    policyText: count.result.policyText,
                    detail: count.result.detail
                )
            }
        )
    }

    private init(rows: [Row]) {
        self.rows = rows
    }

    /// Reads the last days of a store.
    package static func read(_ history: HistoryReader, days: Int) async throws -> TLSResultReport {
        let first = Timestamp.now.day - Int64(days) + 1
        return TLSResultReport(try await history.tlsResults(since: first, limit: self.rowLimit))
    }

    /// Without what succeeded.
    package var failures: TLSResultReport {
        TLSResultReport(rows: self.rows.filter { $0.result != TLSResult.Kind.success.rawValue })
    }

    /// A table, or a line that says that there is nothing.
    package var table: String {
        guard !self.rows.isEmpty else {
            return "No connection has been counted."
        }
        var table = TextTable(rightAligned: [5])
        table.add("DAY", "DOMAIN", "POLICY", "EXCHANGER", "RESULT", "COUNT", "DETAIL")
        for row in self.rows {
            table.add(
                row.day,
                printable(row.domain),
                row.policy,
                printable(row.exchanger.isEmpty ? "-" : row.exchanger),
                row.result,
                "\(row.count)",
                printable(row.detail)
            )
        }
        return table.text
    }
}
