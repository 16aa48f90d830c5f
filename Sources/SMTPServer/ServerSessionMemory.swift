import MailModel
import NIOCore
import SMTPProtocol

/// What this client makes us hold, and what is done about it.
extension ServerSessionHandler {
    private var heldOctets: Int {
        let content = self.collector.map { $0.content.readableBytes + $0.pendingOctets } ?? 0
        // Nobody will finish the transaction of a client that has gone.
        let envelope = self.isGone ? 0 : self.session.envelopeSize
        return self.input.readableBytes + envelope + content + self.submitted
    }

    /// Tells the budget; a client that takes more when there is no more, and more than its share, has to go.
    func settle() {
        let held = self.heldOctets
        let counted = held > MemoryBudget.grain ? held : 0
        let growth = counted - self.charged
        guard growth != 0 else {
            return
        }
        self.shared.bounds.memory.adjust(by: growth)
        self.charged = counted
        guard growth > 0, self.holdsTooMuch, !self.isClosing, !self.session.isWaiting else {
            return
        }
        self.relieveMemory()
        if self.holdsTooMuch {
            self.cut(.memory)
        }
    }

    /// Whether there is no more memory, and this client has more than its share that the disk will not take from it.
    var holdsTooMuch: Bool {
        let bounds = self.shared.bounds
        return bounds.memory.isExhausted && self.collector?.isSpooling != true
            && self.charged > bounds.memory.fairShare(of: bounds.connections.total)
    }

    func relieveMemory() {
        guard let collector = self.collector else {
            return
        }
        let threshold = self.shared.configuration.limits.memoryThreshold
        let isTight = self.shared.bounds.memory.isTight
        guard collector.content.readableBytes > (isTight ? min(MemoryBudget.grain, threshold) : threshold) else {
            return
        }
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        let refusal = collector.relieve(headerLength: self.session.headerLength) { error in
            let handler = handler.value
            if let error {
                handler.session.refuseContent(SpoolError.reply(for: error))
            }
            handler.settle()
            handler.resumeReading()
        }
        if let refusal {
            self.session.refuseContent(refusal)
        }
    }
}
