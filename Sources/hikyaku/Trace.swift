import ArgumentParser

/// Tells what happened to a message.
struct Trace: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell the story of a message: every attempt, what was seen, and why the next way was taken.",
        discussion: "Works without a running gateway, too."
    )

    @OptionGroup var options: ConfigurationOptions
    @Argument(help: "A queue id, a Message-ID or a recipient.") var subject: String
    @Flag(help: "Print JSON.") var json = false
    @Option(help: "The most messages to tell of, the newest.") var limit = 20

    func run() async throws {
        try await showMessages(matching: self.subject, self.options, json: self.json, limit: self.limit)
    }
}
