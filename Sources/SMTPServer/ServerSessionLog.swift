import Logging
import MailModel
import SMTPProtocol

/// One line an event; what a peer wrote is escaped, and content and credentials never appear.
extension ServerSessionHandler {
    var client: SubmittingClient {
        SubmittingClient(
            address: self.address,
            port: self.port,
            heloName: self.session.clientName ?? "",
            isExtended: self.session.isExtended,
            user: self.session.authenticatedUser,
            listener: self.shared.configuration.name,
            tlsDescription: self.tlsDescription
        )
    }

    func log(_ level: Logger.Level, _ event: Logger.Message, _ metadata: @autoclosure () -> Logger.Metadata) {
        guard self.shared.logger.logLevel <= level else {
            return
        }
        var metadata = metadata()
        metadata["client"] = .string(self.address.description)
        self.shared.logger.log(level: level, event, metadata: metadata)
    }

    func note(_ refusal: SessionRefusal) {
        switch refusal {
        case .relayDenied(let address):
            self.shared.events(.relayDenied)
            self.log(.warning, "relaying denied", ["recipient": "\(escaped(address))"])
        case .authenticationRequired:
            self.shared.events(.relayDenied)
            self.log(.info, "mail refused before authentication", [:])
        case .authenticationFailed(let user):
            self.shared.events(.authenticationFailed)
            self.log(.warning, "authentication failed", ["user": "\(escaped(user))"])
        }
    }

    /// Who was over the limit may never hear of it: Django goes on with those that were taken.
    func warnOfRecipientsLeftOut(_ facts: TransactionFacts) {
        guard self.session.recipientsLeftOut > 0 else {
            return
        }
        self.log(
            .warning,
            "recipients over limits.recipients read 452 and are not in this message; many applications forget them",
            [
                "id": "\(facts.queueID)", "left-out": "\(self.session.recipientsLeftOut)",
                "recipients": "\(facts.envelope.forwardPaths.count)",
            ]
        )
    }

    func logSubmission(_ verdict: SubmissionVerdict, of facts: TransactionFacts, size: Int) {
        switch verdict {
        case .accepted:
            self.shared.events(.accepted(size: size, recipients: facts.envelope.forwardPaths.count))
            self.log(.info, "message accepted", self.metadata(of: facts, size: size))
        case .refused(let reply):
            self.shared.events(.submissionRefused)
            self.log(
                .warning,
                "message refused",
                ["id": "\(facts.queueID)", "reply": "\(escaped(reply.description))"]
            )
        }
    }

    func logDisconnect() {
        self.shared.events(.disconnected)
        let isOrdinary = self.end == nil || self.end == .quit || self.end == .shutdown
        var metadata: Logger.Metadata = [
            "reason": "\(self.end?.rawValue ?? "closed by the client")", "accepted": "\(self.accepted)",
        ]
        if let lastRefusal {
            metadata["refused"] = "\(self.refusals)"
            metadata["last-refusal"] = "\(escaped(lastRefusal.description))"
        }
        let level: Logger.Level = self.lastRefusal == nil ? .debug : .info
        self.log(isOrdinary ? level : .warning, "disconnected", metadata)
    }

    private func metadata(of facts: TransactionFacts, size: Int) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "id": .string(facts.queueID.description),
            "from": .string("<" + escaped(facts.envelope.reversePath.description) + ">"),
            "recipients": .string(String(facts.envelope.forwardPaths.count)),
            "size": .string(String(size)),
            "helo": .string(escaped(facts.client.heloName)),
        ]
        if let tls = facts.client.tlsDescription {
            metadata["tls"] = "\(tls)"
        }
        if let user = facts.client.user {
            metadata["user"] = "\(escaped(user))"
        }
        return metadata
    }
}
