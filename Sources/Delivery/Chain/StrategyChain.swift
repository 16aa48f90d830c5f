/// The ordered providers that a message may use, with the rules for moving from one to the next.
package struct StrategyChain: Sendable, Hashable {
    /// The operator's names, first choice first; never empty.
    package let providers: [String]
    /// How long a recipient whose next hop says "later" stays with it before the next provider is asked.
    package let fallbackAfter: Duration
    package let onAmbiguous: OnAmbiguous

    /// What happens to a message that may already have been accepted.
    package enum OnAmbiguous: String, Sendable, Hashable, Codable, CaseIterable {
        /// Sent again, by the same provider first: a verification code wants this.
        case resend
        /// Kept until an operator decides: an invoice may want this.
        case hold
    }

    package init(providers: [String], fallbackAfter: Duration, onAmbiguous: OnAmbiguous) {
        self.providers = providers
        self.fallbackAfter = fallbackAfter
        self.onAmbiguous = onAmbiguous
    }

    /// What follows from a failure for one recipient: the table of the design, row by row.
    ///
    /// - Parameters:
    ///   - failure: What the attempt said.
    ///   - deferredFor: How long this recipient has been told "later" already; zero the first time.
    ///   - alreadyAmbiguous: Whether an earlier attempt by the same provider was ambiguous, too.
    /// - Returns: What is done with the recipient, and which breaker opens.
    package func judge(_ failure: Failure, deferredFor: Duration, alreadyAmbiguous: Bool = false) -> Judgement {
        if failure.persistence == .ambiguous {
            var judgement = self.judgeAmbiguous(again: alreadyAmbiguous)
            judgement.opens = failure.scope == .provider ? .providerInDoubt : nil
            return judgement
        }
        var judgement = self.judgeAnswer(failure, deferredFor)
        if alreadyAmbiguous, failure.persistence == .transient, deferredFor < self.fallbackAfter,
            case .nextProvider = judgement.move
        {
            // It may have the message: that it is down now is a reason to wait for it, not for a second copy.
            judgement.move = .sameProviderLater
        }
        return judgement
    }

    /// What follows from a failure that says that the message was not accepted by this attempt.
    private func judgeAnswer(_ failure: Failure, _ deferredFor: Duration) -> Judgement {
        let permanent = failure.persistence == .permanent
        switch failure.scope {
        case .recipient, .message:
            return permanent ? .bounce : self.later(deferredFor)
        case .capability:
            return Judgement(.nextProvider(bouncesWhenExhausted: true))
        case .sender:
            // What is not for good holds for this message and its From field, and not for all mail of the domain.
            let breaker: Judgement.Breaker? = permanent ? .senderDomain : nil
            return Judgement(.nextProvider(bouncesWhenExhausted: false), opens: breaker, alerts: true)
        case .destination:
            return permanent ? .bounce : self.judgeDestination(failure, deferredFor)
        case .provider where failure.mayBeOfTheContent:
            return Judgement(.nextProvider(bouncesWhenExhausted: false), opens: .providerInDoubt)
        case .provider:
            let breaker = permanent ? Judgement.Breaker.providerUntilChanged : .provider
            return Judgement(.nextProvider(bouncesWhenExhausted: false), opens: breaker, alerts: permanent)
        case .local:
            return Judgement(.waitHere)
        }
    }

    /// Moves on at once when the next hop could not even be reached, or will not hear of our address.
    private func judgeDestination(_ failure: Failure, _ deferredFor: Duration) -> Judgement {
        if failure.reason == .policyRefused {
            // Said before the content it holds for all that we have for them, and knocking on makes it no better.
            let isBeforeContent = failure.stage != .data && failure.stage != .commit
            let breaker: Judgement.Breaker? = isBeforeContent ? .destination : nil
            return Judgement(.nextProvider(bouncesWhenExhausted: false), opens: breaker, alerts: true)
        }
        switch failure.stage {
        case .resolve, .connect:
            return Judgement(.nextProvider(bouncesWhenExhausted: false), opens: .destination)
        // Whoever never greets was not connected to: a port that is open before a host that is dead.
        case .greeting where failure.reason == .timeout || failure.reason == .connectionLost:
            return Judgement(.nextProvider(bouncesWhenExhausted: false), opens: .destination)
        case .tls, .greeting, .ehlo, .auth, .mail, .rcpt, .data, .commit:
            return self.later(deferredFor)
        }
    }

    private func judgeAmbiguous(again: Bool) -> Judgement {
        switch self.onAmbiguous {
        case .hold:
            Judgement(.hold, alerts: true)
        case .resend where again:
            // Asked twice and still no word: the next provider is the smaller evil.
            Judgement(.nextProvider(bouncesWhenExhausted: false), alerts: true)
        case .resend:
            Judgement(.sameProviderLater)
        }
    }

    /// How long a recipient that waits with a provider waits at most, so that the next one is asked as soon as it may be.
    ///
    /// Nil where there is no next provider, or its turn has come. Who is in doubt goes on with all others of the chain.
    package func patience(with provider: String, deferredFor: Duration, isInDoubt: Bool = false) -> Duration? {
        let hasNext = isInDoubt ? self.providers.count > 1 : provider != self.providers.last
        guard hasNext, deferredFor < self.fallbackAfter else {
            return nil
        }
        return self.fallbackAfter - deferredFor
    }

    private func later(_ deferredFor: Duration) -> Judgement {
        Judgement(deferredFor >= self.fallbackAfter ? .nextProvider(bouncesWhenExhausted: false) : .sameProviderLater)
    }
}

/// What the chain does about one failure of one recipient.
package struct Judgement: Hashable, Sendable {
    package enum Move: Hashable, Sendable {
        case bounce
        /// The next provider is asked at once. With all of them exhausted the recipient bounces only if every failure
        /// of the round says so; else it waits for the next round.
        case nextProvider(bouncesWhenExhausted: Bool)
        /// The same way again after the schedule's delay.
        case sameProviderLater
        /// The trouble is ours: nothing is moved and nothing is counted against anybody.
        case waitHere
        case hold
    }

    package enum Breaker: Hashable, Sendable {
        /// Until the time that was asked for, or by backoff.
        case provider
        /// By backoff, for other mail, once several messages in a row have brought no answer, or did not get through.
        case providerInDoubt
        /// Until configuration changes, a probe succeeds or an operator closes it.
        case providerUntilChanged
        case senderDomain
        case destination
    }

    package var move: Move
    package var opens: Breaker?
    /// Whether a person should hear of it.
    package var alerts: Bool

    package static let bounce = Judgement(.bounce)

    package init(_ move: Move, opens: Breaker? = nil, alerts: Bool = false) {
        self.move = move
        self.opens = opens
        self.alerts = alerts
    }
}

extension Failure {
    /// Whether the content went out, or was about to, and the other side said nothing more: a large message on a slow or broken
    /// path ends so, or one at which a filter chokes, while other mail passes.
    fileprivate var mayBeOfTheContent: Bool {
        guard self.persistence == .transient else {
            return false
        }
        switch self.stage {
        case .data, .commit: return [.timeout, .connectionLost, .noAnswer].contains(self.reason)
        case .resolve, .connect, .tls, .greeting, .ehlo, .auth, .mail, .rcpt: return false
        }
    }
}
