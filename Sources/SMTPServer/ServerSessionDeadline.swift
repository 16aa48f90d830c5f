import NIOCore
import SMTPProtocol

/// The time a client has.
extension ServerSessionHandler {
    /// One timer a connection: when it fires early, because something has come since, it is set again.
    func armTimer() {
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.timer = self.eventLoop.scheduleTask(deadline: self.deadline) {
            handler.value.timerFired()
        }
    }

    func timerFired() {
        guard self.context != nil else {
            return
        }
        guard NIODeadline.now() >= self.deadline else {
            self.armTimer()
            return
        }
        if self.isClosing {
            self.context?.close(promise: nil)
        } else if self.session.isWaiting {
            // The sink is at work, and answers in the end; the client is not to blame.
            self.opened = .now()
            self.lastActivity = .now()
            self.armTimer()
        } else if let action = self.session.timeout() {
            self.run(action)
            self.opened = .now()
            // A client that does not read its replies would hold the close back for ever.
            self.lastActivity = .now()
            self.armTimer()
        }
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
