import ArgumentParser
import DNSProtocol
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
        @Option(help: "A record type, such as TXT; may be given several times.") var type: [String] = []
        @Flag(help: "Print JSON.") var json = false

        func validate() throws {
            if let unknown = self.type.first(where: { RecordType(mnemonic: $0) == nil }) {
                throw ValidationError("\"\(unknown)\" is not one of A, AAAA, CNAME, MX, NS, PTR, SOA, TLSA, TXT.")
            }
        }

        func run() async throws {
            let configuration = try self.options.load()
            let types = self.type.compactMap(RecordType.init(mnemonic:))
            let reports: [LookupReport]
            do {
                var request = ControlRequest(.dnsLookup, subject: self.domain)
                request.types = types.isEmpty ? nil : types.map(\.description)
                reports = try await ControlClient.send(request, to: configuration.controlSocket).lookups ?? []
            } catch let error where error is ControlClient.NotRunning || error is ControlClient.Denied {
                reports = await LookupReport.ask(
                    self.domain,
                    types.isEmpty ? LookupReport.usualTypes : types,
                    configuration
                )
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
            guard let status = try await askGateway(ControlRequest(.dnsSources), self.options).status else {
                return
            }
            print(self.json ? MessageJSON.text(of: status.dnsSources) : status.sourceTable)
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
