import MailModel
import NIOCore
import PostfixQueue

/// What became of one file of a Postfix queue; `--json` prints it, and its shape is a promise to scripts.
package struct TakeOverEntry: Encodable, Hashable, Sendable {
    package enum State: String, Encodable, Sendable {
        /// A dry run: it would be taken over.
        case ready
        case takenOver
        /// An earlier run had committed it and could not move its file; it is moved now, and no second copy was made.
        case takenOverBefore
        /// Postfix had served every recipient.
        case finished
        /// Left where it is: it cannot be read or was never accepted.
        case leftAlone
        /// It could not be committed, or its file could not be moved after the commit.
        case failed
    }

    package var queue: String
    package var postfixID: String
    package var state: State
    /// Its queue id here.
    package var id: String?
    package var sender: String?
    package var recipients: [String]
    /// Recipients that Postfix had served.
    package var finishedRecipients: Int
    /// Octets of content.
    package var size: Int?
    package var arrivedAt: String?
    /// Why it was left alone or failed.
    package var reason: String?

    init(_ file: PostfixSpool.File, _ state: State, reason: String? = nil) {
        self.queue = file.queue.rawValue
        self.postfixID = file.queueID
        self.state = state
        self.recipients = []
        self.finishedRecipients = 0
        self.reason = reason
    }

    init(_ file: PostfixSpool.File, _ message: QueueFile, _ state: State) {
        self.init(file, state)
        self.sender = message.envelope.reversePath.description
        self.recipients = message.envelope.forwardPaths.map(\.mailbox.description)
        self.finishedRecipients = message.finishedRecipients
        self.size = message.content.readableBytes
        self.arrivedAt = message.arrivedAt.description
    }
}

/// What became of a whole queue.
package struct TakeOverReport: Encodable, Hashable, Sendable {
    package var spool: String
    package var isDryRun: Bool
    package var entries: [TakeOverEntry]
    /// Files that were not looked at any more after the store had refused one.
    package var notReached: Int
    /// Messages in `maildrop`, which no Postfix has picked up and which are not taken over.
    package var submittedByCommand: Int

    /// Whether an operator has something left to look at.
    package var isComplete: Bool {
        self.notReached == 0 && !self.entries.contains { $0.state == .leftAlone || $0.state == .failed }
    }

    private func count(_ states: TakeOverEntry.State...) -> Int {
        self.entries.count { states.contains($0.state) }
    }

    /// What was left alone, in a table, and then the sum in words; a dry run lists everything.
    package var text: String {
        let noted = self.entries.filter { entry in
            self.isDryRun || entry.state == .leftAlone || entry.state == .failed
        }
        return ([noted.isEmpty ? nil : Self.table(noted)] + self.sentences).compactMap { $0 }
            .joined(separator: "\n")
    }

    private static func table(_ entries: [TakeOverEntry]) -> String {
        var table = TextTable(rightAligned: [3])
        table.add("QUEUE", "ID", "ARRIVED", "SIZE", "FROM", "TO")
        for entry in entries {
            let more = entry.recipients.count > 3 ? " and \(entry.recipients.count - 3) more" : ""
            let done = entry.finishedRecipients > 0 ? " (\(entry.finishedRecipients) served already)" : ""
            let names = entry.recipients.prefix(3).joined(separator: ", ") + more + done
            table.add(
                entry.queue,
                entry.postfixID,
                entry.arrivedAt ?? "-",
                entry.size.map(humanSize) ?? "-",
                printable(entry.sender.map { "<\($0)>" } ?? "-"),
                printable(entry.reason.map { "\(entry.state == .failed ? "failed" : "left alone"): \($0)" } ?? names)
            )
        }
        return table.text
    }

    private var sentences: [String] {
        var sentences: [String] = []
        if self.isDryRun {
            sentences.append("\(messages(self.count(.ready))) would be taken over; nothing was changed.")
        } else {
            let recipients = self.entries.filter { $0.state == .takenOver }.reduce(0) { $0 + $1.recipients.count }
            sentences.append(
                "\(messages(self.count(.takenOver))) for \(recipients) recipient\(recipients == 1 ? "" : "s") taken over; "
                    + "the files are in \(self.spool)/taken-over now."
            )
        }
        if self.count(.takenOverBefore) > 0 {
            sentences.append("\(messages(self.count(.takenOverBefore))) had been taken over before: not queued again.")
        }
        if self.count(.finished) > 0 {
            sentences.append("\(messages(self.count(.finished))) had been served by Postfix to the last recipient.")
        }
        if self.count(.leftAlone, .failed) > 0 {
            sentences.append(
                "\(messages(self.count(.leftAlone, .failed))) left where they were, for the reasons above."
            )
        }
        if self.notReached > 0 {
            sentences.append("\(messages(self.notReached)) not reached after that; run the command again.")
        }
        if self.submittedByCommand > 0 {
            sentences.append(
                "\(messages(self.submittedByCommand)) in maildrop, submitted by the sendmail command and never picked up, "
                    + "stay there: only Postfix can complete them."
            )
        }
        return sentences
    }
}

private func messages(_ count: Int) -> String {
    "\(count) message\(count == 1 ? "" : "s")"
}
