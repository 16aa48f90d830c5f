import ArgumentParser
import Gateway

/// Takes over the queue of a stopped Postfix.
struct TakeOver: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "take-over",
        abstract: "Take over the queue of a stopped Postfix, so that its stuck mail goes out.",
        discussion: """
            Reads the queues incoming, active, deferred and hold of a Postfix 3.x spool and queues every message here, \
            with its envelope, content and arrival time; recipients that Postfix has served are not served again, and \
            what was on hold stays held. A file is moved to SPOOL/taken-over only after its message is committed; \
            damaged files stay where they are and are named. It can be run again at any time: nothing is queued twice. \
            What had nearly expired is given the whole time again.

            Hands the messages to the running gateway; without one, puts them into its store. Run it as root, to whom \
            the spool is open. Exit status 0 when nothing is left, 65 when files were left, 69 when Postfix is running \
            or nothing can be taken over.

              hikyaku take-over /var/spool/postfix --dry-run
            """
    )

    @OptionGroup var options: ConfigurationOptions
    @Argument(help: "The queue directory of Postfix: what `postconf queue_directory` says.") var spool: String
    @Flag(help: "List what would be taken over, and change nothing.") var dryRun = false
    @Flag(help: "Do it although Postfix seems to be running on the spool.") var force = false
    @Flag(help: "Print JSON.") var json = false

    func run() async throws {
        let configuration = try self.options.load()
        let report: TakeOverReport
        do {
            let takeOver = try Gateway.TakeOver(of: self.spool, configuration: configuration)
            report = self.dryRun ? try takeOver.preview() : try await takeOver.run(isForced: self.force)
        } catch {
            complain("hikyaku: \(error)")
            throw ExitCode(Sysexits.unavailable)
        }
        print(self.json ? MessageJSON.text(of: report) : report.text)
        guard report.isComplete else {
            throw ExitCode(Sysexits.dataError)
        }
    }
}
