import Logging
import NIOCore
import SMTPProtocol

/// Who the client is: passwords are checked elsewhere, and guessing gets slow, then nowhere.
extension ServerSessionHandler {
    func authenticate(_ credentials: ServerCredentials) {
        guard !self.shared.bounds.guesses.isBlocked(self.address) else {
            self.cut(.guessing)
            return
        }
        self.flush()
        guard let authenticator = self.shared.authenticator else {
            self.finishAuthentication(false)
            return
        }
        let address = self.address
        let guesses = self.shared.bounds.guesses
        let channel = self.context?.channel
        let isWanted = { @Sendable in channel?.isActive == true && !guesses.isBlocked(address) }
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.eventLoop
            .makeFutureWithTask {
                await authenticator.authenticate(
                    user: credentials.user,
                    password: credentials.password,
                    from: address,
                    isWanted: isWanted
                )
            }
            .whenSuccess { handler.value.conclude($0) }
    }

    private func conclude(_ result: AuthenticationResult) {
        switch result {
        case .accepted: self.finishAuthentication(true)
        case .refused: self.holdBackFailure()
        case .busy: self.goOnAfterAuthentication { $0.authenticationPutOff() }
        case .abandoned:
            guard !self.isClosing, self.session.isWaiting else {
                return
            }
            // It guessed so often elsewhere that this was not looked at.
            self.cut(.guessing)
        }
    }

    /// The more an address has failed, the later it reads so.
    private func holdBackFailure() {
        let guesses = self.shared.bounds.guesses
        let consequence = guesses.noteFailure(of: self.address)
        if consequence.blocks {
            self.log(
                .warning,
                "address blocked after too many failed authentications",
                ["failures": "\(guesses.limit)", "seconds": "\(guesses.duration.nanoseconds / 1_000_000_000)"]
            )
        }
        guard consequence.delay > .zero else {
            self.finishAuthentication(false)
            return
        }
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.eventLoop.scheduleTask(in: consequence.delay) {
            handler.value.finishAuthentication(false)
        }
    }

    private func finishAuthentication(_ success: Bool) {
        self.goOnAfterAuthentication { $0.authenticationFinished(success: success) }
    }

    private func goOnAfterAuthentication(_ step: (inout ServerSession) -> SessionAction) {
        guard !self.isClosing, self.session.isWaiting else {
            return
        }
        // The time that hashing and holding back took was ours.
        self.opened = .now()
        self.lastActivity = self.opened
        self.run(step(&self.session))
        self.goOn()
    }
}
