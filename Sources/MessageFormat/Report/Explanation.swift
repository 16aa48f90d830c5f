import MailModel

/// The part of a report that people read: what happened to whom, and what they can do.
struct Explanation {
    private(set) var lines: [String] = []

    init(_ report: DeliveryReport) {
        self.lines = ["This is the mail gateway at \(report.hostname).", ""]
        self.add(
            report.recipients.filter { $0.action == .failed },
            "Your message could not be delivered to the recipients below, and it will not be tried again."
        )
        self.add(
            report.recipients.filter { $0.action == .delayed },
            "Your message has not been delivered yet to the recipients below. You need not send it again: "
                + "the gateway keeps trying."
        )
        self.add(
            report.recipients.filter { $0.action == .delivered || $0.action == .relayed },
            "Your message was handed over for the recipients below."
        )
        self.lines.append("The message:")
        if !report.originalSubject.isEmpty {
            self.addWrapped("    Subject: \(PrintableText.line(report.originalSubject, limit: 200))")
        }
        self.addWrapped("    Message-ID: \(PrintableText.line(report.originalMessageID, limit: 300))")
        self.lines.append("    Accepted: \(report.arrivedAt.messageDate), queue id \(report.originalID)")
    }

    private mutating func add(_ recipients: [DeliveryReport.RecipientStatus], _ introduction: String) {
        guard !recipients.isEmpty else {
            return
        }
        self.lines += WrappedText.wrap(introduction, indent: "")
        for recipient in recipients {
            self.lines.append("")
            self.addWrapped("<\(PrintableText.line(recipient.mailbox.description, limit: 400))>")
            let text = PrintableText.line(recipient.text, limit: DSNComposer.quoteLimit)
            let speaker = recipient.remoteMTA.map { "\(PrintableText.line($0, limit: 200)) said" } ?? "Reason"
            self.addWrapped("    \(speaker): \(text)")
            if recipient.action == .failed {
                self.addWrapped("    What to do: \(advice(recipient.status))")
            }
            if recipient.action == .delayed, let moment = recipient.willRetryUntil {
                self.addWrapped("    Tried until: \(moment.messageDate)")
            }
        }
        self.lines.append("")
    }

    /// The leading spaces of a line stay, which splitting at spaces alone would lose.
    private mutating func addWrapped(_ line: String) {
        let indent = String(line.prefix { $0 == " " })
        var wrapped = WrappedText.wrap(line, indent: indent + "    ")
        wrapped[0] = indent + wrapped[0]
        self.lines += wrapped
    }
}

/// What the sender can do about a failure, by its status (RFC 3463 §3).
private func advice(_ status: EnhancedStatusCode) -> String {
    switch (status.subject, status.detail) {
    case (1, 0...6), (1, 10):
        "check the address for mistakes, or ask the recipient for the right one."
    case (1, 7...8):
        "use a sender address that exists and can receive mail."
    case (2, 1):
        "the mailbox is disabled; reach the recipient in another way."
    case (2, 2):
        "the mailbox is full; try again later, or reach the recipient in another way."
    case (2, 3), (3, 4):
        "the message is too large; send it with fewer or smaller attachments."
    case (4, 6):
        "the message goes round in a circle; tell the administrator of the gateway."
    case (4, 0...5), (4, 7):
        "the recipient's mail system could not be reached in time; send the message again later."
    case (6, 0...99):
        "the content cannot be carried as it is; send it in a simpler form."
    case (7, 0...99):
        "the message was refused by policy; the administrator of the gateway can see the whole story in its log."
    default:
        "if it happens again, give this report to the administrator of the gateway."
    }
}
