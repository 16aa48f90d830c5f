import MailModel

/// Which addresses, and which of the two address families, kept silent lately: they are not waited for again at once.
///
/// Only silence is remembered, since only silence costs time. When the time of an entry is over, one attempt tries while
/// the others still pass the address by.
struct Reachability: Sendable {
    /// How long silence is remembered, and how much of it.
    struct Policy: Hashable, Sendable {
        var firstMemory: Duration = .seconds(30)
        /// Doubled each time an address is still silent, up to this.
        var longestMemory: Duration = .seconds(300)
        /// How long others wait for the one that tries.
        var trial: Duration = .seconds(30)
        var capacity = 4_096
        /// So many domains in so many networks must be silent, with no answer between, before a whole family counts as dead.
        var domainsOfDeadFamily = 3
        /// Within this time: each machine meets silent hosts now and then.
        var timeToDeadFamily: Duration = .seconds(600)
    }

    /// What is known of one address.
    enum Advice: Hashable, Sendable {
        case usable
        /// It was silent, so long ago.
        case silent(ago: Duration)
        /// Nothing has answered over its family for so long.
        case familyIsDead(since: Duration, retryAfter: Duration)
    }

    private struct Entry: Sendable {
        var failedAt: ContinuousClock.Instant
        var failures: Int
        var until: ContinuousClock.Instant
    }

    private struct Family: Sendable {
        var domains: Set<String> = []
        var networks: Set<UInt64> = []
        /// When the first of them kept silent.
        var began: ContinuousClock.Instant
        var silence: Entry?
    }

    private let policy: Policy
    private var entries: [IPAddress: Entry] = [:]
    private var families: [Bool: Family] = [:]

    init(policy: Policy = .init()) {
        self.policy = policy
    }

    /// How many addresses are remembered.
    var count: Int {
        self.entries.count
    }

    /// Asks whether an address may be tried; who is told that it may is the one who tries.
    mutating func advice(on address: IPAddress, at now: ContinuousClock.Instant) -> Advice {
        if let silence = self.families[address.isIPv6]?.silence {
            guard silence.until <= now else {
                return .familyIsDead(since: now - silence.failedAt, retryAfter: silence.until - now)
            }
            self.families[address.isIPv6]?.silence?.until = now + self.policy.trial
        }
        guard let entry = self.entries[address] else {
            return .usable
        }
        guard entry.until <= now else {
            return .silent(ago: now - entry.failedAt)
        }
        self.entries[address]?.until = now + self.policy.trial
        return .usable
    }

    /// The address answered.
    mutating func answered(_ address: IPAddress) {
        self.entries[address] = nil
        self.families[address.isIPv6] = nil
    }

    /// The address did not answer in time, on behalf of mail for a domain.
    mutating func wasSilent(_ address: IPAddress, for domain: String, at now: ContinuousClock.Instant) {
        if self.entries[address] == nil, self.entries.count >= self.policy.capacity {
            self.makeRoom(at: now)
        }
        self.entries[address] = self.next(after: self.entries[address], at: now)
        var family = self.families[address.isIPv6] ?? Family(began: now)
        if family.silence == nil, now - family.began > self.policy.timeToDeadFamily {
            family = Family(began: now)
        }
        let enough = self.policy.domainsOfDeadFamily
        if family.domains.count < enough {
            family.domains.insert(domain)
        }
        if family.networks.count < enough {
            family.networks.insert(address.network)
        }
        if family.silence != nil || min(family.domains.count, family.networks.count) >= enough {
            family.silence = self.next(after: family.silence, at: now)
        }
        self.families[address.isIPv6] = family
    }

    private func next(after entry: Entry?, at now: ContinuousClock.Instant) -> Entry {
        // Attempts that ran side by side saw one silence, not many.
        if let entry, entry.until > now, now - entry.failedAt < self.policy.firstMemory {
            return entry
        }
        let failures = (entry?.failures ?? 0) + 1
        let memory = min(self.policy.firstMemory * (1 << min(failures - 1, 16)), self.policy.longestMemory)
        return Entry(failedAt: now, failures: failures, until: now + memory)
    }

    /// Forgets what is over, and if that is nothing, anything.
    private mutating func makeRoom(at now: ContinuousClock.Instant) {
        self.entries = self.entries.filter { $0.value.until > now }
        if self.entries.count >= self.policy.capacity, let any = self.entries.keys.first {
            self.entries[any] = nil
        }
    }
}

extension IPAddress {
    /// The /16 of an IPv4 address, the /32 of an IPv6 address: hosts in different ones rarely fail together.
    fileprivate var network: UInt64 {
        switch self {
        case .v4(let number): UInt64(number >> 16)
        case .v6(let high, _): high >> 32
        }
    }
}
