extension AttemptReport {
    /// What the attempt says of the pace at which the next hop is to be given mail.
    ///
    /// A delivery counts most; a refusal of a recipient or of the content says nothing.
    var word: Pace.Word {
        var word = Pace.Word.nothing
        for outcome in self.outcomes.values {
            switch outcome {
            case .delivered: return .good
            case .failed(let failure):
                switch failure.pace {
                case .good, .nothing: break
                case .tooFast: word = .tooFast
                case .trouble: word = word == .tooFast ? .tooFast : .trouble
                }
            }
        }
        return word
    }
}

extension Failure {
    fileprivate var pace: Pace.Word {
        switch (self.persistence, self.scope) {
        case (.ambiguous, _): return .trouble
        case (.permanent, _), (_, .recipient), (_, .message), (_, .capability), (_, .sender), (_, .local):
            return .nothing
        case (.transient, .destination), (.transient, .provider): break
        }
        switch self.reason {
        case .rateLimited, .quotaExceeded, .policyRefused, .serviceUnavailable: return .tooFast
        case .connectionFailed, .connectionLost, .timeout, .tlsFailed, .protocolError, .noAnswer: return .trouble
        // DNS is asked somewhere else; the rest is settled by other means than the pace.
        case .dnsUnavailable, .noSuchDomain, .nullMX, .noAddress, .prohibitedAddress, .mailLoop, .authenticationFailed,
            .accountSuspended, .senderNotVerified, .recipientRefused, .recipientDeferred, .contentRefused, .tooLarge,
            .notSupported, .misconfigured, .localTrouble, .interrupted:
            return .nothing
        }
    }
}
