import ArgumentParser
import Gateway

/// Checks and shows the configuration.
struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check or show the configuration.",
        subcommands: [Check.self, Show.self]
    )

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say everything that is wrong with the configuration; exit 78 if anything is."
        )

        @OptionGroup var options: ConfigurationOptions

        func run() throws {
            let configuration = try self.options.load(checksFiles: true)
            for warning in configuration.warnings {
                complain("warning: \(warning)")
            }
            let chain = configuration.chain.joined(separator: ", ")
            print("The configuration is good (\(configuration.source)). Chain: \(chain).")
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the effective configuration, defaults and environment included, without secrets."
        )

        @OptionGroup var options: ConfigurationOptions

        func run() throws {
            print(try self.options.load().effectiveText)
        }
    }
}
