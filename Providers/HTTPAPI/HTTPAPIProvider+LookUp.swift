import Delivery
import HTTPTransport
import Logging
import MailModel

extension HTTPAPIProvider {
    /// The recipients for whom the service has taken the message over already, though its answer never came.
    ///
    /// Asked only about those in doubt here. A service that does not tell, or cannot be asked, leaves the doubt as it was, and
    /// the message is sent again.
    func lookUp(
        _ mail: OutgoingMail,
        for recipients: [Recipient],
        at addresses: [IPAddress],
        until deadline: ContinuousClock.Instant
    ) async -> [Recipient.Number: Outcome] {
        let doubtful = recipients.filter { $0.progress.ambiguousAt == self.name }
        guard !doubtful.isEmpty, !addresses.isEmpty, var request = self.service.lookUp(mail) else {
            return [:]
        }
        request.timeout = max(.milliseconds(1), min(request.timeout, deadline - .now))
        do throws(HTTPFailure) {
            let response = try await self.client.send(request, addresses: addresses)
            guard let named = self.service.takenOver(in: response) else {
                self.logFailedLookUp("HTTP \(response.status)", mail.id)
                return [:]
            }
            let taken = Set(named.map { $0.lowercased() })
            let known = doubtful.filter { taken.contains($0.mailbox.inASCIIWherePossible.lowercased()) }
            let acceptance = Acceptance(
                reply: Reply(250, .init(2, 0, 0), "looked up: accepted by an earlier call"),
                providerMessageID: mail.bareMessageID
            )
            return Dictionary(known.map { ($0.number, .delivered(acceptance)) }) { first, _ in first }
        } catch {
            self.logFailedLookUp(TransportFailures.failure(error, secrets: self.service.secrets).text, mail.id)
            return [:]
        }
    }

    private func logFailedLookUp(_ reason: String, _ id: QueueID) {
        self.logger.info(
            "the mail API does not tell whether it has the message; it is sent again",
            metadata: ["queue-id": "\(id)", "provider": "\(self.name)", "reason": "\(reason)"]
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
