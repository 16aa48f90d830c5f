import Delivery
import Logging
import MailModel

/// Writes what happens to messages: delivery lines with the fields that Postfix users search for, and every move.
struct DeliveryLog: DeliveryEvents {
    let logger: Logger

    func attemptEnded(_ result: AttemptResult, of message: QueuedMessage, recipients: [Recipient]) {
        let way = Self.way(of: result, with: message)
        for update in result.updates {
            guard let recipient = recipients.first(where: { $0.number == update.recipient }),
                let outcome = result.report.outcomes[update.recipient]
            else {
                continue
            }
            let (status, dsn, text) = Self.words(update.state, outcome)
            var line = TextOctets(capacity: 480)
            line.write(message.id.description)
            line.write(": to=<")
            line.write(recipient.mailbox)
            line.write(">, ")
            line.write(way)
            line.write(", dsn=")
            line.write(dsn)
            line.write(", status=")
            line.write(status)
            line.write(" (")
            line.write(text)
            line.write(")")
            // A literal, as it were: interpolation would copy it once more.
            self.logger.info(Logger.Message(stringLiteral: line.text))
        }
        if let bounce = result.bounce {
            self.logger.info("\(message.id): sender non-delivery notification: \(bounce.message.id)")
        }
    }

    func movedOn(_ id: QueueID, from: String, to: String?, because failure: Failure) {
        self.logger.notice(
            "\(id): left \(from) for \(to ?? "nobody")",
            metadata: ["reason": "\(failure.reason.rawValue)", "why": "\(failure.text)"]
        )
    }

    func breakerOpened(_ key: BreakerKey, _ state: BreakerState) {
        let until = state.openUntil.map { "\($0)" } ?? "something changes"
        self.logger.warning(
            "\(key) is not used until \(until)",
            metadata: ["reason": "\(state.reason.rawValue)", "why": "\(state.text)"]
        )
    }

    func breakerClosed(_ key: BreakerKey) {
        self.logger.notice("\(key) works again; what waited for it goes now")
    }

    func finished(_ id: QueueID) {
        self.logger.debug("\(id): removed")
    }

    func storeTrouble(_ failure: StoreFailure) {
        self.logger.error("the store cannot be written; it is tried again", metadata: ["why": "\(failure)"])
    }

    /// What is the same for all recipients: where they went, by which provider, and how long that took.
    private static func way(of result: AttemptResult, with message: QueuedMessage) -> String {
        var way = TextOctets(capacity: 160)
        way.write("relay=")
        self.writeRelay(result.report.evidence, to: &way)
        way.write(", provider=")
        way.write(result.start.provider)
        way.write(", ")
        self.writeDelays(result, of: message, to: &way)
        return way.text
    }

    private static func writeRelay(_ evidence: AttemptEvidence, to text: inout TextOctets) {
        guard let host = evidence.remoteHost else {
            text.write("none")
            return
        }
        text.write(host)
        guard let address = evidence.remoteAddress, let colon = address.utf8.lastIndex(of: UInt8(ascii: ":")) else {
            return
        }
        guard address.utf8.first != UInt8(ascii: "[") else {
            // An IPv6 address stands in brackets already, between which it is put here.
            text.write(address)
            return
        }
        text.write("[")
        text.write(String(address[..<colon]))
        text.write("]")
        text.write(String(address[colon...]))
    }

    /// `delay=0.9, delays=a/b/c/d`: before the queue, in it, setting up the connection, transmitting.
    private static func writeDelays(_ result: AttemptResult, of message: QueuedMessage, to text: inout TextOctets) {
        let total = (result.finishedAt - message.arrivedAt).wholeMilliseconds
        var (setUp, transmission): (Int64, Int64) = (0, 0)
        for timing in result.report.evidence.timings {
            switch timing.stage {
            case .resolve, .connect, .tls, .greeting, .ehlo, .auth: setUp += timing.milliseconds
            case .mail, .rcpt, .data, .commit: transmission += timing.milliseconds
            }
        }
        text.write("delay=")
        self.write(seconds: total, to: &text)
        text.write(", delays=0/")
        self.write(seconds: max(0, total - setUp - transmission), to: &text)
        text.write("/")
        self.write(seconds: setUp, to: &text)
        text.write("/")
        self.write(seconds: transmission, to: &text)
    }

    /// Seconds as Postfix writes them, rounded to two digits that matter and two decimals: `0.03`, `1.2`, `17`.
    static func write(seconds milliseconds: Int64, to text: inout TextOctets) {
        let resolution: Int64 = milliseconds < 1_000 ? 10 : milliseconds < 10_000 ? 100 : 1_000
        let hundredths = max(0, milliseconds + resolution / 2) / resolution * resolution / 10
        let (whole, rest) = hundredths.quotientAndRemainder(dividingBy: 100)
        text.write(whole)
        guard rest > 0 else {
            return
        }
        text.write(".")
        text.write(rest / 10)
        if rest % 10 > 0 {
            text.write(rest % 10)
        }
    }

    private static func words(_ state: RecipientUpdate.State, _ outcome: Outcome) -> (String, String, String) {
        switch outcome {
        case .delivered(let acceptance):
            return ("sent", "\(acceptance.reply.enhanced ?? EnhancedStatusCode(2, 0, 0))", acceptance.reply.description)
        case .failed(let failure):
            switch state {
            case .bounced: return ("bounced", "\(failure.status.withClass(5))", failure.text)
            case .expired: return ("expired", "5.4.7", failure.text)
            case .held: return ("hold", "\(failure.status)", failure.text)
            case .active, .waiting, .delivered: return ("deferred", "\(failure.status.withClass(4))", failure.text)
            }
        }
    }
}
