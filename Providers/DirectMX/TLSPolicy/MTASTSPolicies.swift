package import DNSProtocol
package import Delivery
package import HTTPTransport
package import MailModel
import Synchronization

/// The MTA-STS policies of domains: found, kept, and renewed (RFC 8461 §3.3, §5.1).
///
/// A delivery waits no longer than `patience`; what takes longer goes on by itself and serves the next one.
package final class MTASTSPolicies: Sendable {
    /// What is known of a domain when a message for it is about to go.
    struct Verdict: Hashable, Sendable {
        var policy: MTASTSPolicy?
        /// How it came about, for people: `enforce, kept`, `no record`.
        var story: String
        /// Why a policy that the domain announces could not be had.
        var failure: MTASTSFetcher.Failure?
    }

    private struct Entry {
        var kept: (record: KeptPolicy, policy: MTASTSPolicy)?
        /// When the policy may be fetched again after a failure.
        var fetchAgainAt = ContinuousClock.now
        /// Until when the name is not asked, since nobody answered.
        var silentUntil = ContinuousClock.now
        /// What was found a moment ago, for the many messages to one domain.
        var recent: (verdict: Verdict, until: ContinuousClock.Instant)?
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var running: [String: Task<Verdict, Never>] = [:]
    }

    private static let patience = Duration.seconds(2)
    /// RFC 8461 §3.3 says that five minutes between failing fetches are about right.
    private static let pauseAfterFailure = Duration.seconds(300)
    private static let pauseAfterSilence = Duration.seconds(60)
    /// Beyond this age a policy is fetched again in passing, although its `max_age` is not over.
    private static let freshness = Duration.seconds(86_400)
    private static let entryLimit = 4_096
    private static let runningLimit = 256

    private let resolver: any Resolver
    private let fetcher: MTASTSFetcher
    private let archive: (any SecurityArchive)?
    private let now: @Sendable () -> Timestamp
    private let recency: Duration
    private let state = Mutex(State())

    /// Makes a finder of policies.
    ///
    /// - Parameters:
    ///   - resolver: Asked for the records that announce policies, and for the addresses of the hosts that serve them.
    ///   - client: Fetches policies.
    ///   - archive: Keeps them across restarts.
    ///   - recency: How long what was found is used without looking again.
    ///   - now: The wall clock, for what is read after a restart.
    package init(
        resolver: any Resolver,
        client: any HTTPClient,
        archive: (any SecurityArchive)?,
        recency: Duration = .seconds(10),
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.recency = recency
        self.resolver = resolver
        self.fetcher = MTASTSFetcher(resolver: resolver, client: client)
        self.archive = archive
        self.now = now
    }

    /// The policy that applies to a domain now.
    func verdict(on domain: String) async -> Verdict {
        let domain = domain.lowercased()
        if let recent = self.state.withLock({ $0.entries[domain]?.recent }), recent.until > .now {
            return recent.verdict
        }
        let task = self.state.withLock { state -> Task<Verdict, Never>? in
            if let task = state.running[domain] {
                return task
            }
            guard state.running.count < Self.runningLimit else {
                return nil
            }
            // Shared by all who ask meanwhile, and not ended by one who gives up: so in no one's task group.
            let task = Task { await self.findAndForgetTask(domain) }
            state.running[domain] = task
            return task
        }
        if let task, let verdict = await Self.value(of: task, within: Self.patience) {
            return verdict
        }
        if !Task.isCancelled {
            self.state.withLock { $0.entries[domain]?.silentUntil = .now + Self.pauseAfterSilence }
        }
        return await self.keptVerdict(domain, otherwise: "no answer in time")
    }

    private func findAndForgetTask(_ domain: String) async -> Verdict {
        let verdict = await self.find(domain)
        var recent = verdict
        // A failure is told once, not with each message.
        recent.failure = nil
        self.state.withLock { [recent] state in
            state.running[domain] = nil
            state.entries[domain]?.recent = (recent, .now + self.recency)
        }
        return verdict
    }

    private func find(_ domain: String) async -> Verdict {
        let entry = await self.entry(of: domain)
        guard entry.silentUntil <= .now else {
            return await self.keptVerdict(domain, otherwise: "nobody answered lately")
        }
        switch await self.resolver.text(of: "_mta-sts.\(domain)").lookup {
        case .records(let texts, timeToLive: _):
            guard let record = MTASTSRecord(texts) else {
                return await self.keptVerdict(domain, otherwise: "no record")
            }
            return await self.find(domain, announced: record.id)
        case .noData, .noSuchName:
            return await self.keptVerdict(domain, otherwise: "no record")
        case .unavailable:
            self.state.withLock { $0.entries[domain]?.silentUntil = .now + Self.pauseAfterSilence }
            return await self.keptVerdict(domain, otherwise: "nobody answers")
        }
    }

    /// The policy of a domain that announces one: as kept, unless it changed or is over.
    private func find(_ domain: String, announced id: String) async -> Verdict {
        let entry = await self.entry(of: domain)
        let now = self.now()
        if let kept = entry.kept, kept.record.id == id, kept.record.expiresAt > now {
            let limit = min(Self.freshness, .seconds(kept.policy.maximumAge / 2))
            if now - kept.record.fetchedAt > limit, entry.fetchAgainAt <= .now {
                self.renew(domain, id)
            }
            return Verdict(policy: kept.policy, story: "\(kept.policy.mode.rawValue), kept")
        }
        guard entry.fetchAgainAt <= .now else {
            return await self.keptVerdict(domain, otherwise: "could not be fetched lately")
        }
        do {
            let policy = try await self.fetch(domain, id)
            return Verdict(policy: policy, story: "\(policy.mode.rawValue), fetched")
        } catch {
            var verdict = await self.keptVerdict(domain, otherwise: error.text)
            verdict.failure = error
            return verdict
        }
    }

    /// Fetches a policy that is growing old, for those who come later.
    private func renew(_ domain: String, _ id: String) {
        self.state.withLock { $0.entries[domain]?.fetchAgainAt = .now + Self.pauseAfterFailure }
        // A failure changes nothing: what is kept applies until it is over.
        Task { _ = try? await self.fetch(domain, id) }
    }

    private func fetch(_ domain: String, _ id: String) async throws(MTASTSFetcher.Failure) -> MTASTSPolicy {
        let text: String
        let policy: MTASTSPolicy
        do {
            (text, policy) = try await self.fetcher.fetch(domain)
        } catch {
            self.state.withLock { $0.entries[domain]?.fetchAgainAt = .now + Self.pauseAfterFailure }
            throw error
        }
        let now = self.now()
        let record = KeptPolicy(
            domain: domain,
            id: id,
            text: text,
            fetchedAt: now,
            expiresAt: now + .seconds(policy.maximumAge)
        )
        self.state.withLock { $0.entries[domain] = Entry(kept: (record, policy)) }
        self.archive?.keep(record)
        return policy
    }

    /// RFC 8461 §5.1: what cannot be found anew applies as it is kept, until it is over.
    private func keptVerdict(_ domain: String, otherwise story: String) async -> Verdict {
        guard let kept = await self.entry(of: domain).kept, kept.record.expiresAt > self.now() else {
            return Verdict(policy: nil, story: story)
        }
        return Verdict(policy: kept.policy, story: "\(kept.policy.mode.rawValue), kept (\(story))")
    }

    /// What is remembered of a domain, with what the store knows of it.
    private func entry(of domain: String) async -> Entry {
        if let entry = self.state.withLock({ $0.entries[domain] }) {
            return entry
        }
        var entry = Entry()
        if let record = await self.archive?.stsPolicy(of: domain), let policy = MTASTSPolicy(record.text) {
            entry.kept = (record, policy)
        }
        return self.state.withLock { [entry] state in
            if let known = state.entries[domain] {
                return known
            }
            if state.entries.count >= Self.entryLimit, let other = state.entries.keys.first {
                state.entries[other] = nil
            }
            state.entries[domain] = entry
            return entry
        }
    }

    /// What a task brings, if it does so in time; it goes on in any case.
    private static func value(of task: Task<Verdict, Never>, within time: Duration) async -> Verdict? {
        let (values, sink) = AsyncStream.makeStream(of: Verdict?.self)
        let waiting = Task { sink.yield(await task.value) }
        let timer = Task {
            try? await Task.sleep(for: time)
            sink.yield(nil)
        }
        defer {
            waiting.cancel()
            timer.cancel()
        }
        for await value in values {
            return value
        }
        return nil
    }
}
