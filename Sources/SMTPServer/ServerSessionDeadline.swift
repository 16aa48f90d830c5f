import NIOCore
import SMTPProtocol

/// The time a client has.
extension ServerSessionHandler {
    /// One timer a connection: when it fires early, because something has come since, it is set again.
    ///
    /// It looks in between, too: whether idle clients have to go is not known beforehand.
    func armTimer() {
        let left = self.deadline - .now()
        self.armTimer(in: max(.zero, min(left, TimeAmount(self.shared.configuration.limits.crowdedTimeout))))
    }

    func armTimer(in time: TimeAmount) {
        self.timer?.cancel()
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.timer = self.eventLoop.scheduleTask(in: time) {
            handler.value.timerFired()
        }
    }

    private func timerFired() {
        guard let context = self.context else {
            return
        }
        guard !self.isClosing else {
            context.close(promise: nil)
            return
        }
        if self.session.isWaiting || self.isYielding {
            // It is our turn, and we answer in the end; the client is not to blame.
            self.opened = .now()
            self.lastActivity = .now()
        }
        if let reason = self.overdue(at: .now()) {
            self.cut(reason)
        } else {
            self.armTimer()
        }
    }

    /// Why the client's time is over, if it is.
    private func overdue(at now: NIODeadline) -> SessionCut? {
        if now >= self.deadline {
            return self.context?.channel.isWritable == false ? .unread : .silence
        }
        let limits = self.shared.configuration.limits
        guard now >= self.lastActivity + TimeAmount(limits.crowdedTimeout) else {
            return nil
        }
        if self.holdsTooMuch {
            return .memory
        }
        // Slow content is honest work; doing nothing is not.
        let isIdle = self.collector == nil
        return isIdle && self.shared.bounds.connections.isCrowded(limit: limits.connections) ? .crowded : nil
    }

    var deadline: NIODeadline {
        let limits = self.shared.configuration.limits
        let isUnknown =
            self.session.clientName == nil
            || (self.shared.configuration.authPolicy == .required && self.session.authenticatedUser == nil)
        if isUnknown {
            return self.opened + TimeAmount(limits.firstCommandTimeout)
        }
        let silent = self.lastActivity + TimeAmount(limits.commandTimeout)
        guard let began = self.contentBegan else {
            return silent
        }
        let seconds = Int64(self.session.contentSize / max(1, limits.contentRate))
        return min(silent, began + TimeAmount(limits.contentGrace) + .seconds(seconds))
    }
}
