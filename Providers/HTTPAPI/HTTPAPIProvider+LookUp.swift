import Delivery
import HTTPTransport
import Logging
import MailModel

extension HTTPAPIProvider {
    /// Pages of a look-up that are read at most: more than enough for the recipients of any message.
    package static let lookUpPageLimit = 50
    /// Since when somebody must be in doubt before it counts that the service does not name him: events come late.
    package static let lookUpDelay = Duration.seconds(60)

    /// The recipients for whom the service has taken the message over already, though its answer never came.
    ///
    /// Asked only about those in doubt here. A service that does not tell, or cannot be asked, leaves the doubt as it was, and
    /// the message is sent again. Who is not named, and was just sent to, as before a crash, waits and is asked for again.
    func lookUp(
        _ mail: OutgoingMail,
        for recipients: [Recipient],
        at addresses: [IPAddress],
        until deadline: ContinuousClock.Instant
    ) async -> [Recipient.Number: Outcome] {
        let doubtful = recipients.filter { $0.progress.ambiguousAt == self.name }
        guard !doubtful.isEmpty, !addresses.isEmpty, let request = self.service.lookUp(mail) else {
            return [:]
        }
        let acceptance = Acceptance(
            reply: Reply(250, .init(2, 0, 0), "looked up: accepted by an earlier call"),
            providerMessageID: mail.bareMessageID
        )
        var known: [Recipient.Number: Outcome] = [:]
        var next: HTTPRequest? = request
        var pages = 0
        while let request = next, known.count < doubtful.count {
            pages += 1
            guard pages <= Self.lookUpPageLimit else {
                self.logFailedLookUp("it names more events than are read", mail.id, doubtful.count - known.count)
                break
            }
            let (taken, following) = await self.page(request, of: mail, at: addresses, until: deadline)
            for recipient in doubtful where taken.contains(recipient.mailbox.inASCIIWherePossible.lowercased()) {
                known[recipient.number] = .delivered(acceptance)
            }
            switch following {
            case .more(let request): next = request
            case .end:
                next = nil
                known.merge(self.notYet(doubtful.filter { known[$0.number] == nil })) { known, _ in known }
            case .unknown(let reason):
                next = nil
                if known.count < doubtful.count {
                    self.logFailedLookUp(reason, mail.id, doubtful.count - known.count)
                }
            }
        }
        return known
    }

    /// Those of whom the service may tell later, with how long they wait for it.
    private func notYet(_ unnamed: [Recipient]) -> [Recipient.Number: Outcome] {
        var outcomes: [Recipient.Number: Outcome] = [:]
        for recipient in unnamed {
            guard let since = recipient.progress.deferredSince else {
                continue
            }
            // Not for longer, though the clock may have been set back.
            let rest = min(Self.lookUpDelay, since + Self.lookUpDelay - self.now())
            if rest > .zero {
                outcomes[recipient.number] = .failed(TransportFailures.notToldYet(rest))
            }
        }
        return outcomes
    }

    private enum Following {
        case more(HTTPRequest)
        case end
        /// What would come after this cannot be read.
        case unknown(String)
    }

    /// Reads one page: the addresses that it names, in lower case, and what comes after it.
    private func page(
        _ request: HTTPRequest,
        of mail: OutgoingMail,
        at addresses: [IPAddress],
        until deadline: ContinuousClock.Instant
    ) async -> (taken: Set<String>, following: Following) {
        var request = request
        request.timeout = max(.milliseconds(1), min(request.timeout, deadline - .now))
        do throws(HTTPFailure) {
            let response = try await self.client.send(request, addresses: addresses)
            guard let page = self.service.takenOver(in: response, of: mail) else {
                return ([], .unknown("HTTP \(response.status)"))
            }
            let taken = Set(page.takenOver.map { $0.lowercased() })
            switch page.rest {
            case .none: return (taken, .end)
            case .page(let next): return (taken, .more(next))
            case .elsewhere: return (taken, .unknown("the next page is not below the base URL"))
            }
        } catch {
            return ([], .unknown(TransportFailures.failure(error, secrets: self.service.secrets).text))
        }
    }

    private func logFailedLookUp(_ reason: String, _ id: QueueID, _ count: Int) {
        self.logger.info(
            "the mail API does not tell whether it has the message; it is sent again",
            metadata: [
                "queue-id": "\(id)", "provider": "\(self.name)", "reason": "\(reason)", "recipients": "\(count)",
            ]
        )
    }
}

extension OutgoingMail {
    /// The Message-ID without angle brackets, as services name messages in their events.
    var bareMessageID: String {
        bare(self.messageID)
    }
}

/// What stands between angle brackets, or all of it where there are none.
func bare(_ messageID: String) -> String {
    String(messageID.drop { $0 == "<" }.prefix { $0 != ">" })
}
