import ArgumentParser
import Delivery
import Gateway
import MailModel
import SQLiteStore

/// Looks at the queue and changes it.
struct Queue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List and change what is queued.",
        subcommands: [List.self, Show.self, Flush.self, Hold.self, Release.self, Delete.self],
        defaultSubcommand: List.self
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List messages that are not finished; works without a running gateway, too."
        )

        @OptionGroup var options: ConfigurationOptions
        @Flag(help: "Include finished messages.") var all = false
        @Flag(help: "Print JSON.") var json = false
        @Option(help: "The most messages to list, the newest.") var limit = 1_000

        func run() async throws {
            let (messages, count) = try await withHistory(self.options) { history in
                let messages = try await history.messages(unfinishedOnly: !self.all, limit: max(1, self.limit))
                return (messages, try await history.count(unfinishedOnly: !self.all))
            }
            let renderer = QueueRenderer(now: .now)
            guard self.json else {
                return print(renderer.render(messages, of: count))
            }
            print(MessageJSON.text(of: messages.map { MessageJSON($0) }))
            if let cut = renderer.cut(messages.count, of: count) {
                complain("hikyaku: \(cut)")
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one message; the same as `hikyaku trace ID`.")

        @OptionGroup var options: ConfigurationOptions
        @Argument(help: "A queue id.") var id: String
        @Flag(help: "Print JSON.") var json = false

        func run() async throws {
            try await showMessages(matching: self.id, self.options, json: self.json)
        }
    }

    struct Flush: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try what waits now.",
            discussion: """
                Ways that are left alone are tried by one message each, and used by all when that succeeds. A provider \
                whose quota or rate is used up until a known moment is not, and the answer says so: `hikyaku provider \
                resume NAME` uses it all the same.
                """
        )

        @OptionGroup var change: QueueChange

        func run() async throws {
            try await self.change.send(.flush, "due now")
        }
    }

    struct Hold: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep messages from being tried.",
            discussion: "What is being delivered at this moment goes on; the answer says how many recipients that are."
        )

        @OptionGroup var change: QueueChange

        func run() async throws {
            try await self.change.send(.hold, "held", needsSubject: true)
        }
    }

    struct Release: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let held messages go.")

        @OptionGroup var change: QueueChange

        func run() async throws {
            try await self.change.send(.release, "released", needsSubject: true)
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete messages without a report to anybody.",
            discussion: """
                What is being delivered at this moment may still arrive, and is then on record as delivered; the answer \
                says how many recipients that are.
                """
        )

        @OptionGroup var change: QueueChange

        func run() async throws {
            try await self.change.send(.delete, "deleted", needsSubject: true)
        }
    }
}

/// A change of the queue, made by the running gateway.
struct QueueChange: ParsableArguments {
    @OptionGroup var options: ConfigurationOptions
    @Argument(help: "A queue id, a recipient domain, or ALL.") var subject: String?
    @Flag(help: "Print JSON.") var json = false

    func send(_ verb: ControlRequest.Verb, _ done: String, needsSubject: Bool = false) async throws {
        guard self.subject != nil || !needsSubject else {
            throw ValidationError("name a queue id, a recipient domain, or ALL")
        }
        let reply = try await askGateway(ControlRequest(verb, subject: self.subject), self.options)
        print(self.json ? MessageJSON.text(of: Answer(reply)) : self.text(reply, done))
    }

    private func text(_ reply: ControlReply, _ done: String) -> String {
        let count = reply.count ?? 0
        var text = "\(count) recipient\(count == 1 ? "" : "s") \(done)"
        if let running = reply.running, running > 0 {
            text += "; \(running) \(running == 1 ? "was" : "were") being delivered and could not be stopped"
        }
        for breaker in reply.leftAlone ?? [] {
            text += "\n\(breaker.name) is left alone \(breaker.term)"
        }
        return text
    }

    /// The same for scripts.
    private struct Answer: Encodable {
        let recipients: Int
        let running: Int?
        let leftAlone: [GatewayStatus.Breaker]?

        init(_ reply: ControlReply) {
            self.recipients = reply.count ?? 0
            self.running = reply.running
            self.leftAlone = reply.leftAlone
        }
    }
}

/// Opens the history of the store for reading, with or without a running gateway.
func withHistory<Value>(
    _ options: ConfigurationOptions,
    _ body: (HistoryReader) async throws -> Value
) async throws -> Value {
    let configuration = try options.load()
    do {
        let history = try HistoryReader(directory: configuration.dataDirectory)
        defer { history.close() }
        return try await body(history)
    } catch let failure as StoreFailure {
        complain("hikyaku: \(failure)")
        throw ExitCode(Sysexits.unavailable)
    }
}

/// Prints what matches a queue id, a Message-ID or a recipient; says when there is more than the limit.
func showMessages(matching text: String, _ options: ConfigurationOptions, json: Bool, limit: Int = 20) async throws {
    let (found, diagnoses) = try await withHistory(options) { history -> ([MessageRecord], [DiagnosisRecord]) in
        let diagnoses = try await history.diagnoses(limit: 1_000)
        if let id = QueueID(text), let message = try await history.message(id) {
            return ([message], diagnoses)
        }
        var found: [MessageRecord] = []
        // One more than is shown, to know whether there is more.
        for message in try await history.messages(matching: text, limit: max(1, limit) + 1) {
            found.append(try await history.message(message.id) ?? message)
        }
        return (found, diagnoses)
    }
    guard !found.isEmpty else {
        complain("hikyaku: no message with the queue id, Message-ID or recipient \"\(text)\" is known")
        throw ExitCode(Sysexits.dataError)
    }
    let messages = found.suffix(max(1, limit))
    let renderer = TraceRenderer(usesColours: usesColours, now: .now)
    print(
        json
            ? MessageJSON.text(of: messages.map { MessageJSON($0, diagnoses: diagnoses) })
            : messages.map { renderer.render($0, diagnoses: diagnoses) }.joined(separator: "\n\n")
    )
    if messages.count < found.count {
        complain("hikyaku: these are the newest \(messages.count) that match, and there are more; --limit shows them")
    }
}

/// Sends a request to the running gateway; without one says so and exits with 69 (EX_UNAVAILABLE).
func askGateway(_ request: ControlRequest, _ options: ConfigurationOptions) async throws -> ControlReply {
    let configuration = try options.load()
    do {
        let reply = try await ControlClient.send(request, to: configuration.controlSocket)
        if let error = reply.error {
            complain("hikyaku: \(error)")
            throw ExitCode(Sysexits.dataError)
        }
        return reply
    } catch let failure as ControlClient.NotRunning {
        complain("hikyaku: \(failure)")
    } catch let failure as ControlClient.Denied {
        complain("hikyaku: \(failure)")
    } catch let failure as StartupFailure {
        complain("hikyaku: \(failure)")
    }
    throw ExitCode(Sysexits.unavailable)
}
