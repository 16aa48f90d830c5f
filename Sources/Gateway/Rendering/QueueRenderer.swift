package import Delivery
package import MailModel

/// Lists messages, one line a recipient.
package struct QueueRenderer {
    private let now: Timestamp

    package init(now: Timestamp) {
        self.now = now
    }

    /// A table with a line that counts all there is, or the word that there is nothing; the list may be cut.
    package func render(_ messages: [MessageRecord], of count: MessageCount) -> String {
        guard !messages.isEmpty else {
            return "The queue is empty."
        }
        var table = TextTable(rightAligned: [2])
        table.add("ID", "AGE", "SIZE", "FROM", "TO", "STATE")
        for message in messages {
            for recipient in message.recipients {
                table.add(
                    "\(message.id)",
                    humanDuration(self.now - message.arrivedAt),
                    humanSize(message.size),
                    message.reversePath.isEmpty ? "<>" : printable(message.reversePath),
                    printable(recipient.mailbox),
                    self.state(recipient)
                )
            }
        }
        if let cut = self.cut(messages.count, of: count) {
            return "\(table.text)\n\(cut)"
        }
        let octets = messages.reduce(0) { $0 + $1.size }
        let noun = messages.count == 1 ? "message" : "messages"
        return table.text + "\n\(messages.count) \(noun), \(humanSize(octets))"
    }

    /// What a list of the newest leaves out; nil when it shows all.
    package func cut(_ shown: Int, of count: MessageCount) -> String? {
        guard count.messages > shown else {
            return nil
        }
        let age = count.oldestArrival.map { ", the oldest \(humanDuration(self.now - $0)) old" } ?? ""
        let all = "\(count.messages) messages, \(humanSize(count.octets)) in all\(age)"
        return "the newest \(shown) of \(all); --limit shows more"
    }

    private func state(_ recipient: RecipientRecord) -> String {
        let failure = recipient.lastFailure.map(printable)
        switch recipient.state {
        case .waiting:
            let due = recipient.dueAt.map { $0 > self.now ? "in \(humanDuration($0 - self.now))" : "now" } ?? "now"
            return ["waiting, due \(due)", failure].compactMap(\.self).joined(separator: "; ")
        case .delivered: return "delivered by \(recipient.provider ?? "?")"
        case .active, .held, .bounced, .expired, .deleted:
            return [recipient.state.rawValue, failure].compactMap(\.self).joined(separator: " ")
        }
    }
}
