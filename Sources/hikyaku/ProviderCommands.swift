import ArgumentParser
import Gateway

/// Shows and changes which ways out are used.
struct Provider: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "provider",
        abstract: "Show the ways out, and use one again that was left alone.",
        subcommands: [List.self, Resume.self],
        defaultSubcommand: List.self
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the chain in its order, and what of it is left alone, until when and why."
        )

        @OptionGroup var options: ConfigurationOptions
        @Flag(help: "Print JSON.") var json = false

        func run() async throws {
            guard let status = try await askGateway(ControlRequest(.status), self.options).status else {
                throw ExitCode(Sysexits.software)
            }
            print(self.json ? MessageJSON.text(of: status.providers) : status.providerTable)
        }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Use a provider again at once, such as after its password was mended.",
            discussion: "What waited for it goes out now. If it is still in trouble, it is left alone again."
        )

        @OptionGroup var options: ConfigurationOptions
        @Argument(help: "The provider's name in the chain.") var name: String

        func run() async throws {
            let count = try await askGateway(ControlRequest(.closeBreaker, subject: self.name), self.options).count ?? 0
            print(count == 0 ? "\(self.name) was in use already." : "\(self.name) is in use again.")
        }
    }
}
