import ArgumentParser
import Delivery
import Gateway
import Logging
import SQLiteStore

/// Looks after the store: is it sound, a copy of it, its size.
struct Store: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check, copy or compact the store.",
        subcommands: [Check.self, Backup.self, Compact.self]
    )

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what is damaged in the store, if anything; changes nothing.",
            discussion: """
                Reads the whole database, follows every reference, and compares the messages with their content files. \
                Works beside a running gateway, without one, and on copies. Exit status 0 when the store is sound, 1 when \
                it is not.
                """
        )

        @OptionGroup var options: ConfigurationOptions
        @Argument(help: "Another store to look at, such as a copy (default: data-directory).") var directory: String?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let report = StoreCheck.run(try self.directory ?? self.options.load().dataDirectory)
            print(self.json ? MessageJSON.text(of: report) : report.text)
            guard report.isSound else {
                throw ExitCode.failure
            }
        }
    }

    struct Backup: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Copy the store to a new directory, beside a running gateway or without one.",
            discussion: """
                The copy is the queue and its history at one moment, with all contents; it is checked, and appears under \
                its name only when it is whole. A gateway can be started on it by making it the data-directory: what was \
                unfinished at that moment is then delivered, so do that in the place of the original, not beside it. Exit \
                status 0 when the copy is sound, 1 when it shows the damage of the original, 69 when there is none.

                  hikyaku store backup /backup/hikyaku-$(date +%F)
                """
        )

        @OptionGroup var options: ConfigurationOptions
        @Argument(help: "A directory that does not exist yet.") var directory: String

        func run() throws {
            let configuration = try self.options.load()
            let report = try failing { () throws(StoreFailure) in
                try StoreBackup.run(from: configuration.dataDirectory, to: self.directory)
            }
            print(report.text)
            guard report.isSound else {
                throw ExitCode.failure
            }
        }
    }

    struct Compact: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give free pages of the database back to the file system; the gateway must be stopped.",
            discussion: """
                Rarely needed: the room of what was delivered is used for new mail. It helps after a long queue that will \
                not come again. It is refused while the gateway runs, which could not accept mail for as long as it \
                takes, and needs room in the data-directory for two more copies of what is in use.
                """
        )

        @OptionGroup var options: ConfigurationOptions

        func run() throws {
            let configuration = try self.options.load()
            let result = try failing { () throws(StoreFailure) in
                try StoreCompaction.run(
                    configuration.dataDirectory,
                    logger: Logger(label: "hikyaku") { StreamLogHandler.standardError(label: $0) }
                )
            }
            print(result.text)
        }
    }
}

/// Runs what can fail with a sentence for the operator, and exits with 69 (EX_UNAVAILABLE) when it does.
private func failing<Value>(_ body: () throws(StoreFailure) -> Value) throws -> Value {
    do {
        return try body()
    } catch {
        complain("hikyaku: \(error)")
        throw ExitCode(Sysexits.unavailable)
    }
}
