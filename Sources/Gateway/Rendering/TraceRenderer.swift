package import Delivery
package import MailModel

/// Tells the whole story of one message, each move with its reason.
package struct TraceRenderer {
    /// Marks what matters with colours; only for terminals.
    private let usesColours: Bool
    private let now: Timestamp

    package init(usesColours: Bool, now: Timestamp) {
        self.usesColours = usesColours
        self.now = now
    }

    /// The story of a message, several lines without a final line end; what was wrong with names stands before the first
    /// attempt that it troubled.
    package func render(_ message: MessageRecord, diagnoses: [DiagnosisRecord] = []) -> String {
        var lines = [self.headline(message)] + message.recipients.map { self.recipient($0, of: message) }
        var told: DiagnosisRecord?
        for attempt in message.attempts {
            if let diagnosis = diagnoses.last(where: { $0.covers(attempt) }), diagnosis != told {
                told = diagnosis
                lines.append("  \(diagnosis.beganAt.clockTime)  doctor: \(self.yellow(printable(diagnosis.verdict)))")
            }
            lines += self.attempt(attempt, of: message)
        }
        return lines.joined(separator: "\n")
    }

    private func headline(_ message: MessageRecord) -> String {
        let sender = message.reversePath.isEmpty ? "<>" : "<\(printable(message.reversePath))>"
        let origin = message.submission.clientAddress.map { " from \($0)" } ?? " by the gateway itself"
        let day = message.arrivedAt.description.prefix(10)
        return
            "\(self.bold("\(message.id)"))  \(sender)  \"\(printable(message.subject))\"  \(humanSize(message.size)) "
            + "\(origin) on \(day) at \(message.arrivedAt.clockTime)\n  Message-ID \(printable(message.messageID))"
    }

    private func recipient(_ recipient: RecipientRecord, of message: MessageRecord) -> String {
        "  \(printable(recipient.mailbox))   \(self.standing(recipient, of: message))"
    }

    private func standing(_ recipient: RecipientRecord, of message: MessageRecord) -> String {
        let failure = recipient.lastFailure.map { ": \(printable($0))" } ?? ""
        switch recipient.state {
        case .delivered:
            let span = humanDuration((recipient.finishedAt ?? message.arrivedAt) - message.arrivedAt)
            let tries = recipient.attempts == 1 ? "1st attempt" : "\(recipient.attempts) attempts"
            return self.green("delivered in \(span) by \(recipient.provider ?? "?")") + " (\(tries))"
        case .bounced:
            return self.red("bounced") + failure
        case .expired:
            return self.red("expired") + failure
        case .held:
            return self.yellow("held") + failure
        case .deleted:
            return "deleted by an operator"
        case .active:
            return self.yellow("being delivered") + failure
        case .waiting:
            let wait = recipient.dueAt.map {
                $0 > self.now ? "next attempt in \(humanDuration($0 - self.now))" : "due now"
            }
            return self.yellow("waiting, \(wait ?? "due now")") + failure
        }
    }

    private func attempt(_ attempt: AttemptRecord, of message: MessageRecord) -> [String] {
        let evidence = attempt.evidence
        var lines: [String] = []
        let indent = String(repeating: " ", count: 18 + attempt.provider.count)
        var first = "  \(attempt.startedAt.clockTime)  \(self.bold(attempt.provider))  "
        for line in evidence.resolution {
            lines.append(printable(line))
        }
        for host in evidence.abandonedHosts {
            lines.append("left \(printable(host))")
        }
        lines += self.connection(evidence)
        lines += self.outcomes(attempt, of: message)
        if attempt.finishedAt == nil {
            lines.append(self.yellow("no end is recorded: it runs now, or the gateway died while it ran"))
        }
        if evidence.headerRewritten {
            lines.append("the API could show only the remaining recipients in To and Cc")
        }
        if !attempt.move.isEmpty, attempt.move != "delivered" {
            lines.append(self.yellow(printable(attempt.move)))
        }
        first += lines.first ?? ""
        return [first] + lines.dropFirst().map { indent + $0 }
    }

    private func connection(_ evidence: AttemptEvidence) -> [String] {
        guard let host = evidence.remoteHost, let address = evidence.remoteAddress else {
            return []
        }
        let parts = [
            "\(host) [\(address)]", evidence.tls ?? "clear text",
            evidence.authentication.map { "AUTH \($0)" }, evidence.reusedConnection ? "kept connection" : nil,
        ].compactMap { $0 }
        let timings = evidence.timings.map { "\($0.stage.rawValue) \($0.milliseconds)" }.joined(separator: ", ")
        return [printable(parts.joined(separator: ", "))] + (timings.isEmpty ? [] : ["\(timings) ms"])
    }

    private func outcomes(_ attempt: AttemptRecord, of message: MessageRecord) -> [String] {
        attempt.outcomes.map { outcome in
            let name =
                message.recipients.first { $0.number == outcome.recipient }?.mailbox ?? "recipient \(outcome.recipient)"
            let who = message.recipients.count == 1 ? "" : "\(printable(name)): "
            if outcome.delivered {
                return who + self.green(printable(outcome.text))
            }
            let kind = [outcome.persistence?.rawValue, outcome.scope?.rawValue, outcome.stage?.rawValue]
                .compactMap { $0 }.joined(separator: "/")
            return "\(who)\(self.red(outcome.status)) \(printable(outcome.text)) (\(kind))"
        }
    }

    private func bold(_ text: String) -> String { self.coloured(text, "1") }
    private func red(_ text: String) -> String { self.coloured(text, "31") }
    private func green(_ text: String) -> String { self.coloured(text, "32") }
    private func yellow(_ text: String) -> String { self.coloured(text, "33") }

    private func coloured(_ text: String, _ code: String) -> String {
        self.usesColours ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }
}
