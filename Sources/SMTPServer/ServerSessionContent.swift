import MailModel
import NIOCore
import SMTPProtocol

/// From the start of content to the reply that follows it.
extension ServerSessionHandler {
    func beginContent(_ envelope: Envelope) {
        self.contentBegan = .now()
        let facts = TransactionFacts(
            queueID: self.shared.sink.nextQueueID(),
            envelope: envelope,
            client: self.client,
            receivedAt: self.shared.clock()
        )
        self.collector = ContentCollector(
            facts: facts,
            envelopeSize: self.session.envelopeSize,
            shared: self.shared,
            eventLoop: self.eventLoop
        )
        self.warnOfRecipientsLeftOut(facts)
    }

    func submit() {
        guard let collector = self.collector else {
            preconditionFailure("content ends that has not begun")
        }
        self.collector = nil
        self.contentBegan = nil
        self.submitted = collector.content.readableBytes + collector.envelopeSize
        let sink = self.shared.sink
        let facts = collector.facts
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        let loop = self.eventLoop
        collector.finish(headerLength: self.session.headerLength, isEightBit: self.session.isEightBit) { result in
            switch result {
            case .failure(let refused):
                handler.value.finishSubmission(.refused(refused.reply), of: facts, size: 0)
            case .success(let submission):
                let size = submission.size
                sink.accept(submission) { verdict in
                    loop.execute {
                        handler.value.finishSubmission(verdict, of: facts, size: size)
                    }
                }
            }
        }
    }

    func finishSubmission(_ verdict: SubmissionVerdict, of facts: TransactionFacts, size: Int) {
        self.logSubmission(verdict, of: facts, size: size)
        self.submitted = 0
        self.settle()
        guard !self.isClosing, self.context != nil else {
            return
        }
        let reply: Reply
        switch verdict {
        case .accepted:
            self.accepted += 1
            reply = Reply(250, EnhancedStatusCode(2, 0, 0), "Ok: queued as \(facts.queueID)")
        case .refused(let refusal):
            reply = refusal
        }
        self.lastActivity = .now()
        self.run(self.session.submissionFinished(reply))
        self.goOn()
    }
}
