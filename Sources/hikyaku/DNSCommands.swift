import ArgumentParser
import Gateway

/// Looks at names as the gateway sees them.
struct DNS: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dns",
        abstract: "Ask the gateway's own DNS sources.",
        subcommands: [Lookup.self, Sources.self, Flush.self]
    )

    struct Lookup: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what each source says of a domain, side by side.",
            discussion: "Asks through the running gateway where there is one, else with the same code by itself."
        )

        @OptionGroup var options: ConfigurationOptions
        @Argument(help: "A domain.") var domain: String
        @Flag(help: "Print JSON.") var json = false

        func run() async throws {
            let configuration = try self.options.load()
            let reports: [LookupReport]
            do {
                let request = ControlRequest(.dnsLookup, subject: self.domain)
                reports = try await ControlClient.send(request, to: configuration.controlSocket).lookups ?? []
            } catch is ControlClient.NotRunning {
                reports = await LookupReport.ask(self.domain, configuration)
            }
            guard !reports.isEmpty else {
                complain("hikyaku: \"\(self.domain)\" is no domain name, or there is no DNS source")
                throw ExitCode(Sysexits.dataError)
            }
            print(self.json ? MessageJSON.text(of: reports) : LookupReport.table(reports))
        }
    }

    struct Sources: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the sources in the order in which they are asked now."
        )

        @OptionGroup var options: ConfigurationOptions
        @Flag(help: "Print JSON.") var json = false

        func run() async throws {
            let sources = try await askGateway(ControlRequest(.dnsSources), self.options).status?.dnsSources ?? []
            if self.json {
                print(MessageJSON.text(of: sources))
                return
            }
            for source in sources {
                print("\(source.name)  \(source.isHealthy ? "good" : "failed lately, asked last")")
            }
        }
    }

    struct Flush: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Forget cached answers and failures.")

        @OptionGroup var options: ConfigurationOptions

        func run() async throws {
            _ = try await askGateway(ControlRequest(.dnsFlush), self.options)
            print("The DNS cache is empty.")
        }
    }
}
