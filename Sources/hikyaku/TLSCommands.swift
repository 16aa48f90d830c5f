import ArgumentParser
import Gateway

/// Tells what connections to exchangers said of TLS.
struct TLS: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tls",
        abstract: "Show how TLS with other hosts went.",
        subcommands: [Results.self],
        defaultSubcommand: Results.self
    )

    struct Results: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show connections by domain, day and result, in the words of TLS reports (RFC 8460).",
            discussion: "Works without a running gateway, too."
        )

        @OptionGroup var options: ConfigurationOptions
        @Option(help: "How many days, today included.") var days = 7
        @Flag(help: "Only what failed.") var failures = false
        @Flag(help: "Print JSON.") var json = false

        func validate() throws {
            guard (1...3_650).contains(self.days) else {
                throw ValidationError("--days: expected 1 to 3650")
            }
        }

        func run() async throws {
            let days = self.days
            let all = try await withHistory(self.options) { try await TLSResultReport.read($0, days: days) }
            let report = self.failures ? all.failures : all
            print(self.json ? MessageJSON.text(of: report.rows) : report.table)
        }
    }
}
