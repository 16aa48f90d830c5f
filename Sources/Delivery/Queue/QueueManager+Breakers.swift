import MailModel
import Synchronization

extension QueueManager {
    /// What an attempt changed about the breakers, to be stored and told.
    struct BreakerChanges {
        var opened: [(BreakerKey, BreakerState)] = []
        var closed: [BreakerKey] = []
    }

    /// Applies a verdict to the board: trips what failed, closes what has proved to work, ends probes.
    func updateBreakers(_ work: Work, _ verdict: Verdict, at now: Timestamp) -> BreakerChanges {
        self.state.withLock { state in
            var changes = BreakerChanges()
            for (part, failure) in verdict.trips {
                let key = work.key(for: part)
                guard part != .providerInDoubt || state.board.countDoubt(key, of: work.message.id) else {
                    continue
                }
                let isNew = state.board.open[key] == nil
                let untilChanged = part == .providerUntilChanged || part == .senderDomain
                let breaker = state.board.trip(key, by: failure, untilChanged: untilChanged, at: now)
                if isNew || work.probes.contains(key) {
                    changes.opened.append((key, breaker))
                }
            }
            if verdict.delivered, verdict.trips.isEmpty {
                changes.closed = state.board.close(
                    provider: work.provider.name,
                    senderDomain: work.senderDomain,
                    destination: work.lane.destination
                )
            }
            state.board.endProbe(work.probes)
            return changes
        }
    }

    /// Forgets what has guarded single destinations and has not been asked about for an hour after its time.
    package func forgetOldBreakers() async throws(StoreFailure) {
        let moment = self.clock.wallTime + .seconds(-3_600)
        for key in self.state.withLock({ $0.board.forget(endedBefore: moment) }) {
            try await self.store.save(nil, for: key)
        }
    }

    /// Stores and tells what changed; a breaker that cannot be stored now works all the same.
    func publish(_ changes: BreakerChanges) async {
        do {
            for (key, breaker) in changes.opened {
                self.events.breakerOpened(key, breaker)
                try await self.store.save(breaker, for: key)
                try await self.disperse(key)
            }
            try await self.announceClosed(changes.closed)
        } catch {
            self.events.storeTrouble(error)
        }
    }

    /// Lets go to the next way what was put off for want of room in one that has closed now.
    private func disperse(_ closed: BreakerKey) async throws(StoreFailure) {
        let domains = self.state.withLock { $0.crowd.disperse(closed) }
        guard !domains.isEmpty, self.providers.count > 1 else {
            return
        }
        let now = self.clock.wallTime
        for domain in domains {
            _ = try await self.store.expedite(.domain(domain), at: now)
        }
        self.wake.signal()
    }
}

extension Work {
    /// What a breaker of this attempt guards.
    fileprivate func key(for part: Judgement.Breaker) -> BreakerKey {
        switch part {
        case .provider, .providerInDoubt, .providerUntilChanged:
            return BreakerKey(provider: self.provider.name)
        case .senderDomain:
            return BreakerKey(provider: self.provider.name, part: .senderDomain(self.senderDomain))
        case .destination:
            let domain = self.lane.destination ?? self.recipients.first?.mailbox.domain.key ?? ""
            return BreakerKey(provider: self.provider.name, part: .destination(domain))
        }
    }
}
