import Delivery
import Logging
import MailModel

/// Writes what happens to messages: delivery lines with the fields that Postfix users search for, and every move.
struct DeliveryLog: DeliveryEvents {
    let logger: Logger

    func attemptEnded(_ result: AttemptResult, of message: QueuedMessage, recipients: [Recipient]) {
        let evidence = result.report.evidence
        let relay = Self.relay(evidence)
        let delays = Self.delays(result, of: message)
        for update in result.updates {
            guard let recipient = recipients.first(where: { $0.number == update.recipient }),
                let outcome = result.report.outcomes[update.recipient]
            else {
                continue
            }
            let (status, dsn, text) = Self.words(update.state, outcome)
            let line =
                "\(message.id): to=<\(recipient.mailbox)>, relay=\(relay), provider=\(result.start.provider), "
                + "\(delays), dsn=\(dsn), status=\(status) (\(text))"
            self.logger.info("\(line)")
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

    private static func relay(_ evidence: AttemptEvidence) -> String {
        guard let host = evidence.remoteHost else {
            return "none"
        }
        guard let address = evidence.remoteAddress, let colon = address.lastIndex(of: ":") else {
            return host
        }
        let port = address[colon...]
        // An IPv6 address stands in brackets already, between which it is put here.
        return address.utf8.first == UInt8(ascii: "[") ? host + address : host + "[" + address[..<colon] + "]" + port
    }

    /// `delay=0.9, delays=a/b/c/d`: before the queue, in it, setting up the connection, transmitting.
    private static func delays(_ result: AttemptResult, of message: QueuedMessage) -> String {
        let total = result.finishedAt - message.arrivedAt
        var (setUp, transmission): (Int64, Int64) = (0, 0)
        for timing in result.report.evidence.timings {
            switch timing.stage {
            case .resolve, .connect, .tls, .greeting, .ehlo, .auth: setUp += timing.milliseconds
            case .mail, .rcpt, .data, .commit: transmission += timing.milliseconds
            }
        }
        let queued = max(0, total.wholeMilliseconds - setUp - transmission)
        return "delay=\(self.seconds(total.wholeMilliseconds)), delays=0/\(self.seconds(queued))/"
            + "\(self.seconds(setUp))/\(self.seconds(transmission))"
    }

    /// Seconds as Postfix writes them, rounded to two digits that matter and two decimals: `0.03`, `1.2`, `17`.
    static func seconds(_ milliseconds: Int64) -> String {
        let resolution: Int64 = milliseconds < 1_000 ? 10 : milliseconds < 10_000 ? 100 : 1_000
        let hundredths = max(0, milliseconds + resolution / 2) / resolution * resolution / 10
        let (whole, rest) = hundredths.quotientAndRemainder(dividingBy: 100)
        switch rest {
        case 0: return "\(whole)"
        case _ where rest % 10 == 0: return "\(whole).\(rest / 10)"
        default: return "\(whole).\(rest < 10 ? "0" : "")\(rest)"
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
