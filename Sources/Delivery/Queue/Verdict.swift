import MailModel

/// What an attempt means for its recipients, judged by the chain: who is finished, who moves on, who waits.
struct Verdict {
    var updates: [RecipientUpdate] = []
    /// Those that the next provider is to be asked for at once, with the failure that they leave behind.
    var movers: [(recipient: Recipient, failure: Failure, bounces: Bool)] = []
    var bounced: [(recipient: Recipient, failure: Failure)] = []
    var trips: [(part: Judgement.Breaker, failure: Failure)] = []
    var delivered = false
    /// One clause for each thing that was decided, without repetitions.
    var moves: [String] = []

    mutating func say(_ clause: String) {
        if !self.moves.contains(clause) {
            self.moves.append(clause)
        }
    }
}

/// Judges attempts: applies the chain's table and the schedule to each recipient.
struct Judge {
    let chain: StrategyChain
    let schedule: RetrySchedule
    let now: Timestamp
    /// Asked only where something has to wait: chance costs a call of the system.
    let chance: () -> Double
    let expiresAt: Timestamp

    /// Judges a whole attempt; a recipient without an outcome is a provider's mistake and counts as local trouble.
    func judge(_ report: AttemptReport, of recipients: [Recipient], by provider: String) -> Verdict {
        var verdict = Verdict()
        for recipient in recipients {
            switch report.outcomes[recipient.number] ?? .failed(.withoutOutcome(provider)) {
            case .delivered:
                verdict.delivered = true
                verdict.updates.append(self.update(recipient, .delivered(provider: provider)))
            case .failed(let failure):
                self.apply(failure, to: recipient, by: provider, in: &verdict)
            }
        }
        if verdict.delivered {
            verdict.say("delivered")
        }
        return verdict
    }

    private func apply(_ failure: Failure, to recipient: Recipient, by provider: String, in verdict: inout Verdict) {
        let deferredFor = recipient.deferred(at: self.now)
        let again = recipient.progress.ambiguousAt == provider
        let judgement = self.chain.judge(failure, deferredFor: deferredFor, alreadyAmbiguous: again)
        if let breaker = judgement.opens, !verdict.trips.contains(where: { $0.part == breaker }) {
            verdict.trips.append((breaker, failure))
        }
        switch judgement.move {
        case .bounce:
            verdict.bounced.append((recipient, failure))
            verdict.updates.append(self.update(recipient, .bounced, failure))
            verdict.say("bounced: \(failure.text)")
        case .nextProvider(let bounces):
            var recipient = recipient
            recipient.progress.attempts += 1
            if recipient.progress.ambiguousAt == provider, failure.persistence == .permanent {
                // It will not take the message, whatever it did before; else it is asked first again in the next round.
                recipient.progress.ambiguousAt = nil
            }
            verdict.movers.append((recipient, failure, bounces))
        case .sameProviderLater:
            self.postpone(recipient, failure, by: provider, in: &verdict)
        case .waitHere:
            self.wait(recipient, failure, for: failure.retryAfter ?? self.schedule.firstDelay, in: &verdict)
        case .hold:
            var recipient = recipient
            recipient.progress.ambiguousAt = provider
            // Patience begins when it is released.
            recipient.progress.deferredSince = nil
            verdict.updates.append(self.update(recipient, .held, failure))
            verdict.say("held: it may have been accepted, and on-ambiguous is hold")
        }
    }

    private func postpone(_ recipient: Recipient, _ failure: Failure, by provider: String, in verdict: inout Verdict) {
        var recipient = recipient
        recipient.progress.rounds += 1
        // Patience with a new doubt is not shortened by how long others said "later".
        let isNewDoubt = failure.persistence == .ambiguous && recipient.progress.ambiguousAt != provider
        recipient.progress.deferredSince = isNewDoubt ? self.now : recipient.progress.deferredSince ?? self.now
        if failure.persistence == .ambiguous {
            recipient.progress.ambiguousAt = provider
            self.wait(recipient, failure, for: self.schedule.ambiguousDelay, in: &verdict)
        } else {
            let patience = self.chain.patience(
                with: provider,
                deferredFor: recipient.deferred(at: self.now),
                isInDoubt: recipient.progress.ambiguousAt == provider
            )
            self.waitForNextRound(recipient, failure, outage: false, atMost: patience, in: &verdict)
        }
    }

    /// Lets a recipient wait by the schedule; `progress.rounds` counts this round already.
    func waitForNextRound(
        _ recipient: Recipient,
        _ failure: Failure,
        outage: Bool,
        atMost patience: Duration? = nil,
        in verdict: inout Verdict
    ) {
        let rounds = recipient.progress.rounds
        let delay = self.schedule.delay(afterRounds: rounds, outage: outage, chance: self.chance())
        self.wait(recipient, failure, for: patience.map { min($0, delay) } ?? delay, in: &verdict)
    }

    private func wait(_ recipient: Recipient, _ failure: Failure, for delay: Duration, in verdict: inout Verdict) {
        guard self.now < self.expiresAt else {
            verdict.bounced.append((recipient, failure.expired))
            verdict.updates.append(self.update(recipient, .expired, failure))
            verdict.say("expired: \(failure.text)")
            return
        }
        let dueAt = min(self.now + delay, self.expiresAt)
        verdict.updates.append(self.update(recipient, .waiting(dueAt: dueAt), failure))
        verdict.say("waits \(max(1, (dueAt - self.now).wholeMilliseconds / 1_000)) s: \(failure.text)")
    }

    private func update(
        _ recipient: Recipient,
        _ state: RecipientUpdate.State,
        _ failure: Failure? = nil
    ) -> RecipientUpdate {
        var progress = recipient.progress
        progress.attempts += 1
        let words = failure.map { "\($0.status) \($0.text)" }
        return RecipientUpdate(recipient: recipient.number, state: state, progress: progress, lastFailure: words)
    }
}

extension Failure {
    /// The same trouble, told as the reason why the time for delivery ran out (RFC 3463 §3.5, X.4.7).
    fileprivate var expired: Failure {
        var failure = self
        failure.persistence = .permanent
        failure.status = EnhancedStatusCode(5, 4, 7)
        failure.text = "could not be delivered in time; the last answer was: \(self.text)"
        return failure
    }

    fileprivate static func withoutOutcome(_ provider: String) -> Failure {
        Failure(
            .transient,
            .local,
            .resolve,
            status: EnhancedStatusCode(4, 3, 0),
            text: "\(provider) reported nothing for this recipient",
            reason: .localTrouble
        )
    }
}

extension Recipient {
    /// How long a provider has said "later" for this recipient.
    fileprivate func deferred(at now: Timestamp) -> Duration {
        self.progress.deferredSince.map { now - $0 } ?? .zero
    }
}
