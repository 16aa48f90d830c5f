package import MailModel

/// All breakers of the gateway: what may be used now, what opens, what closes.
package struct BreakerBoard: Sendable {
    /// How long breakers stay open.
    package struct Policy: Sendable, Hashable {
        /// The first opening by backoff; each further one in a row doubles it.
        package var firstDelay: Duration
        package var maximumDelay: Duration
        /// The longest wait that a provider may ask for.
        package var longestRetryAfter: Duration
        /// How often one message may try a way that is closed until its configuration changes.
        package var probeInterval: Duration
        /// How many messages in a row may end without an answer before a way is left alone.
        package var doubtLimit: Int

        package init(
            firstDelay: Duration = .seconds(10),
            maximumDelay: Duration = .seconds(300),
            longestRetryAfter: Duration = .seconds(24 * 3_600),
            probeInterval: Duration = .seconds(900),
            doubtLimit: Int = 3
        ) {
            self.firstDelay = firstDelay
            self.maximumDelay = maximumDelay
            self.longestRetryAfter = longestRetryAfter
            self.probeInterval = probeInterval
            self.doubtLimit = doubtLimit
        }
    }

    /// Whether a way may be used now.
    package enum Permit: Hashable, Sendable {
        case allowed
        /// Half-open: this attempt decides for all that wait; the keys are to be handed back with its end.
        case probe([BreakerKey])
        /// Not before this moment.
        case refused(until: Timestamp)
    }

    package private(set) var open: [BreakerKey: BreakerState]
    /// How many have been closed so far: who sees another number than before knows that a way has opened meanwhile.
    package private(set) var closings = 0
    private var probing: Set<BreakerKey> = []
    /// Messages that ended without an answer of a provider since its last success, up to the limit.
    private var doubts: [String: Set<QueueID>] = [:]
    private let policy: Policy

    /// Starts with what the store remembers; ways that wait for a new configuration may be probed at once.
    package init(policy: Policy, remembered: [BreakerKey: BreakerState] = [:]) {
        self.policy = policy
        // The configuration is read at the start, and so may have changed.
        self.open = remembered.mapValues { state in
            var state = state
            state.openUntil = state.openUntil ?? state.openedAt
            return state
        }
    }

    /// Asks for the use of a provider for mail from one sender domain to one destination; nil parts are not guarded.
    package mutating func permit(
        _ provider: String,
        from senderDomain: String?,
        to destination: String?,
        at now: Timestamp
    ) -> Permit {
        guard !self.open.isEmpty else {
            return .allowed
        }
        let keys = Self.keys(provider, from: senderDomain, to: destination).filter { self.open[$0] != nil }
        let refusals = keys.compactMap { self.refusal(of: $0, at: now) }
        if let latest = refusals.max() {
            return .refused(until: latest)
        }
        self.probing.formUnion(keys)
        return keys.isEmpty ? .allowed : .probe(keys)
    }

    /// What a breaker that refuses a way now says in the place of an attempt; nil when none does.
    package func standing(
        _ provider: String,
        from senderDomain: String?,
        to destination: String?,
        at now: Timestamp
    ) -> Failure? {
        let keys = Self.keys(provider, from: senderDomain, to: destination)
        let last = keys.compactMap { key in self.refusal(of: key, at: now).map { (key, $0) } }.max { $0.1 < $1.1 }
        return last.flatMap { key, _ in self.open[key].map { Failure(leftAlone: key, $0) } }
    }

    /// Opens a breaker, or keeps it open longer, and returns the state to be stored.
    package mutating func trip(
        _ key: BreakerKey,
        by failure: Failure,
        untilChanged: Bool = false,
        at now: Timestamp
    ) -> BreakerState {
        let before = self.open[key]
        let wasProbe = self.probing.remove(key) != nil
        // Attempts that were under way when it opened say the same thing again; only a probe counts as a new opening.
        let openings = before.map { wasProbe ? $0.openings + 1 : $0.openings } ?? 1
        let backoff = min(self.policy.firstDelay * (1 << min(openings - 1, 16)), self.policy.maximumDelay)
        let wait = min(failure.retryAfter ?? backoff, self.policy.longestRetryAfter)
        let end = now + wait
        let last = before?.openUntil ?? now
        let state = BreakerState(
            openUntil: untilChanged ? nil : max(end, last),
            openedAt: now,
            openings: openings,
            reason: failure.reason,
            text: failure.text,
            isEndTold: end < last ? before?.isEndTold == true : failure.retryAfter != nil && !failure.isWaitGuessed
        )
        self.open[key] = state
        return state
    }

    /// Counts a message whose answer never came, once however often it is tried; whether that is one too many, as it is for a
    /// probe.
    package mutating func countDoubt(_ key: BreakerKey, of message: QueueID) -> Bool {
        if self.doubts[key.provider, default: []].count < self.policy.doubtLimit {
            self.doubts[key.provider, default: []].insert(message)
        }
        let count = self.doubts[key.provider, default: []].count
        return count >= self.policy.doubtLimit || self.probing.contains(key)
    }

    /// Closes what a successful attempt has proved to work; returns what was open.
    package mutating func close(provider: String, senderDomain: String?, destination: String?) -> [BreakerKey] {
        self.doubts[provider] = nil
        guard !self.open.isEmpty else {
            return []
        }
        let closed = Self.keys(provider, from: senderDomain, to: destination)
            .filter { self.open.removeValue(forKey: $0) != nil }
        self.probing.subtract(closed)
        self.closings += closed.count
        return closed
    }

    /// Closes one breaker on an operator's word, with those of its parts if it is a whole provider's.
    package mutating func close(_ key: BreakerKey) -> [BreakerKey] {
        self.doubts[key.provider] = nil
        let closed = self.open.keys.filter { $0 == key || (key.part == .whole && $0.provider == key.provider) }
        closed.forEach { self.open[$0] = nil }
        self.probing.subtract(closed)
        self.closings += closed.count
        return closed
    }

    /// Lets one message at a time try what is left alone, on an operator's word; returns what is left alone all the same.
    ///
    /// That is a provider whose quota or rate is used up until a moment that it told: to ask before it only costs more.
    package mutating func probeNow(at now: Timestamp) -> [BreakerKey] {
        let refused = self.open.keys.filter { !self.probing.contains($0) && self.refusal(of: $0, at: now) != nil }
        let spent = refused.filter { $0.part == .whole && self.open[$0]?.isSpent == true }
        for key in Set(refused).subtracting(spent) {
            self.open[key]?.openUntil = now
        }
        return spent
    }

    /// Forgets breakers of single destinations whose time was over before a moment; returns which.
    ///
    /// Nobody has mail for them any more, or a probe would have said something; without this a mistyped domain would be
    /// remembered for ever.
    package mutating func forget(endedBefore moment: Timestamp) -> [BreakerKey] {
        let forgotten = self.open.filter { key, state in
            guard case .destination = key.part, let until = state.openUntil else {
                return false
            }
            return until < moment && !self.probing.contains(key)
        }.map(\.key)
        forgotten.forEach { self.open[$0] = nil }
        return forgotten
    }

    /// A probe ended without a word on the breaker: the next attempt may probe.
    package mutating func endProbe(_ keys: [BreakerKey]) {
        self.probing.subtract(keys)
    }

    /// When the first of these providers may be used again as a whole; nil when one may be used now.
    package func earliestUse(of providers: [String], at now: Timestamp) -> Timestamp? {
        let waits = providers.map { self.earliestUse(of: $0, at: now) }
        return waits.contains(nil) ? nil : waits.compactMap { $0 }.min()
    }

    /// When a provider may be used again, as a whole or for one destination; nil when it may be used now.
    package func earliestUse(of provider: String, to destination: String? = nil, at now: Timestamp) -> Timestamp? {
        Self.keys(provider, from: nil, to: destination).compactMap { self.refusal(of: $0, at: now) }.max()
    }

    private func refusal(of key: BreakerKey, at now: Timestamp) -> Timestamp? {
        guard let state = self.open[key] else {
            return nil
        }
        if self.probing.contains(key) {
            return now + self.policy.firstDelay
        }
        let until = state.openUntil ?? state.openedAt + self.policy.probeInterval
        return until > now ? until : nil
    }

    private static func keys(_ provider: String, from sender: String?, to destination: String?) -> [BreakerKey] {
        var keys = [BreakerKey(provider: provider)]
        if let sender {
            keys.append(BreakerKey(provider: provider, part: .senderDomain(sender)))
        }
        if let destination {
            keys.append(BreakerKey(provider: provider, part: .destination(destination)))
        }
        return keys
    }
}

extension BreakerState {
    /// Whether it waits for a limit of the provider to end at a moment that it told.
    fileprivate var isSpent: Bool {
        self.isEndTold && self.openUntil != nil && [.quotaExceeded, .rateLimited].contains(self.reason)
    }
}
