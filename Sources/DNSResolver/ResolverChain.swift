package import DNSProtocol
package import Logging
package import MailModel
package import NIOCore
import Synchronization

/// The gateway's stub resolver: asks its sources in order, remembers what they said, and falls back to what they once said.
package final class ResolverChain: Resolver {
    /// How soon the same good answer is written to the archive again.
    private static let archiveInterval = Duration.seconds(600)
    /// How long a lookup that nobody could answer is not repeated (RFC 9520 §3.2).
    private static let failureMemory = Duration.seconds(1)
    /// How long a last good answer stands in without asking again; a source that comes back ends it (RFC 8767 §5).
    private static let staleMemory = Duration.seconds(30)
    /// How long a name is called bogus whose answer had been given out before the validator spoke (RFC 9520 §3.2).
    private static let bogusMemory = Duration.seconds(60)
    /// How long a failed lookup stays so while every source is failing; a source that comes back ends it.
    private static let outageMemory = Duration.seconds(10)

    struct Finding: Sendable {
        var verdict: LookupMachine.Verdict
        var answer: KnownAnswer?
        var observations: [SourceObservation]
        var staleAge: Duration?

        var interpretation: Interpretation? { self.answer?.interpretation }
    }

    private struct State {
        var running: [Key: Task<Finding, Never>] = [:]
        var archivedAt: [Question: ContinuousClock.Instant] = [:]
        var failures: [Key: (finding: Finding, until: ContinuousClock.Instant)] = [:]

        mutating func note(_ finding: Finding, for key: Key, until: ContinuousClock.Instant) {
            if self.failures.count > 1_000 {
                self.failures = [:]
            }
            self.failures[key] = (finding, until)
        }
    }

    private struct Key: Hashable {
        var question: Question
        var confirmsNegative: Bool
    }

    let configuration: ResolverConfiguration
    let client: SourceClient
    let health = SourceHealth()
    let system: SystemServers
    private let cache: AnswerCache
    private let archive: (any AnswerArchive)?
    private let wallTime: @Sendable () -> Timestamp
    let announcements = Announcements()
    let logger: Logger
    private let state = Mutex(State())

    /// Makes a resolver; `https` sends DNS over HTTPS requests, `archive` keeps the last good answers across restarts.
    package init(
        configuration: ResolverConfiguration,
        group: any EventLoopGroup,
        https: DNSOverHTTPSTransport?,
        archive: (any AnswerArchive)?,
        wallTime: @escaping @Sendable () -> Timestamp,
        logger: Logger
    ) {
        self.configuration = configuration
        self.client = SourceClient(group: group, https: https, trustRootsFile: configuration.trustRootsFile)
        self.system = SystemServers(path: configuration.resolvConfPath, logger: logger)
        self.cache = AnswerCache(limit: configuration.cacheLimit)
        self.archive = archive
        self.wallTime = wallTime
        self.logger = logger
    }

    package func mailExchangers(of domain: String) async -> Resolution<MailExchanger> {
        guard let name = DomainName(domain) else {
            return .impossibleName(domain)
        }
        let finding = await self.find(Question(.mx, name), confirmsNegative: true)
        return finding.resolution { data in
            guard case .mailExchanger(let preference, let host) = data else {
                return nil
            }
            // In lower case: with compression the answer repeats the mixed case of our own question.
            return MailExchanger(preference: preference, host: host.key)
        }
    }

    package func addresses(of host: String) async -> Resolution<IPAddress> {
        if let known = self.knownAddresses(of: host) {
            return Resolution(lookup: .records(known, timeToLive: .seconds(3_600)), observations: [])
        }
        guard let name = DomainName(host) else {
            return .impossibleName(host)
        }
        async let earlySixes = self.find(Question(.aaaa, name), confirmsNegative: false)
        var fours = await self.find(Question(.a, name), confirmsNegative: false)
        var sixes = await earlySixes
        // An ordinary host has no IPv6; anything else that one source denies, a second one must confirm.
        if fours.isNegative {
            fours = await self.find(Question(.a, name), confirmsNegative: true).following(fours)
        }
        if sixes.isNegative, !fours.hasRecords {
            sixes = await self.find(Question(.aaaa, name), confirmsNegative: true).following(sixes)
        }
        let isFound = fours.hasRecords || sixes.hasRecords
        return isFound ? Finding.joined(sixes, fours) : Finding.joinedNegative(sixes, fours)
    }

    package func text(of name: String) async -> Resolution<String> {
        guard let domain = DomainName(name) else {
            return .impossibleName(name)
        }
        return await self.find(Question(.txt, domain), confirmsNegative: false).resolution { data in
            guard case .text(let strings) = data else {
                return nil
            }
            return String(decoding: strings.joined(), as: UTF8.self)
        }
    }

    package func tlsAssociations(of name: String) async -> Resolution<TLSAssociation> {
        guard let domain = DomainName(name) else {
            return .impossibleName(name)
        }
        return await self.find(Question(.tlsa, domain), confirmsNegative: false).resolution { data in
            guard case .tlsAssociation(let association) = data else {
                return nil
            }
            return association
        }
    }

    /// Forgets all answers and all failures, and looks at resolv.conf again; sources that failed are asked in their own
    /// order at once.
    package func flush() {
        self.cache.flush()
        self.health.forget()
        self.client.encrypted.close()
        self.system.lookAgain()
        self.forgetFailures()
    }

    /// Lookups that failed are asked again at once.
    func forgetFailures() {
        self.state.withLock { $0.failures = [:] }
    }

    /// The sources as they would be asked now, the system's servers each for itself.
    package func sources() -> [(source: DNSSource, isHealthy: Bool)] {
        self.health.ordered(self.expandedSources()).map { ($0, self.health.isHealthy($0)) }
    }

    func expandedSources() -> [DNSSource] {
        var seen: Set<DNSSource> = []
        return self.configuration.sources.flatMap { source in
            source == .system ? self.system.current().map { DNSSource.server($0, port: 53) } : [source]
        }.filter { seen.insert($0).inserted }
    }

    /// Whether a host's addresses are known without asking anybody: a literal, pinned in the configuration, or localhost.
    package func isNeverLookedUp(_ host: String) -> Bool {
        self.knownAddresses(of: host) != nil
    }

    private func knownAddresses(of host: String) -> [IPAddress]? {
        if let literal = IPAddress(host) {
            return [literal]
        }
        let key = (host.hasSuffix(".") ? String(host.dropLast()) : host).lowercased()
        if let pinned = self.configuration.hosts[key] {
            return pinned
        }
        // RFC 6761 §6.3: localhost is never looked up.
        return key == "localhost" ? ["127.0.0.1", "::1"].compactMap(IPAddress.init) : nil
    }
}

// MARK: - One question

extension ResolverChain {
    /// Answers from memory, joins a lookup that runs already, or asks.
    private func find(_ question: Question, confirmsNegative: Bool) async -> Finding {
        if let cached = self.cache.answer(to: question, confirmed: confirmsNegative) {
            return Finding(.answer(0), cached, [.cached(question, cached.interpretation)])
        }
        let key = Key(question: question, confirmsNegative: confirmsNegative)
        let task = self.state.withLock { state -> Task<Finding, Never>? in
            if let failure = state.failures[key], failure.until > .now {
                return nil
            }
            if let running = state.running[key] {
                return running
            }
            // Not structured: it is shared by whoever asks while it runs, bounded by the lookup timeout.
            let task = Task { await self.askAndRemember(key) }
            state.running[key] = task
            return task
        }
        guard let task else {
            return self.state.withLock { $0.failures[key]?.finding } ?? Finding(.unavailable, nil, [])
        }
        return await task.value
    }

    private func askAndRemember(_ key: Key) async -> Finding {
        var (finding, rest) = await self.ask(key.question, confirmsNegative: key.confirmsNegative)
        if let answer = finding.answer {
            self.cache.store(answer, for: key.question, confirmed: key.confirmsNegative)
        } else if finding.verdict == .bogus {
            // The last good answer is no better: it may be what the forger wants, and what he says now may have become it.
            self.cache.remove(key.question)
            self.forget(key.question)
            self.announceBogus(key.question, finding)
        } else if let stale = await self.recall(key.question) {
            self.announceStale(key.question, stale.age)
            finding.answer = stale.answer
            finding.staleAge = stale.age
            finding.observations.append(
                SourceObservation(
                    source: "store",
                    question: key.question.description,
                    result: "\(stale.answer.interpretation.summary), \(spoken(stale.age)) old",
                    elapsed: .zero
                )
            )
        }
        self.settle(key, finding)
        if let rest {
            // Not structured: nobody waits for it; bounded by the time that a source has.
            Task { await self.correct(key, rest) }
        }
        return finding
    }

    /// Notes how a lookup ended, so that what failed is not asked again at once.
    private func settle(_ key: Key, _ finding: Finding) {
        let isFailure = finding.answer == nil
        let memory = isFailure ? self.isOut ? Self.outageMemory : Self.failureMemory : Self.staleMemory
        self.state.withLock { state in
            state.running[key] = nil
            if isFailure || finding.staleAge != nil {
                state.note(finding, for: key, until: .now + memory)
            } else {
                state.failures[key] = nil
            }
        }
    }

    /// The validator speaks after the answer was given out: the next one who asks gets its word.
    private func correct(_ key: Key, _ rest: Course) async {
        guard let finding = await self.hearOut(rest) else {
            return
        }
        if let answer = finding.answer {
            self.cache.store(answer, for: key.question, confirmed: key.confirmsNegative)
            return
        }
        self.state.withLock { state in
            for confirmsNegative in [false, true] {
                let key = Key(question: key.question, confirmsNegative: confirmsNegative)
                state.note(finding, for: key, until: .now + Self.bogusMemory)
            }
        }
        self.cache.remove(key.question)
        self.forget(key.question)
        self.announceBogus(key.question, finding)
    }
}

// MARK: - The archive

extension ResolverChain {
    func remember(_ question: Question, _ bytes: [UInt8], from source: DNSSource) {
        guard let archive = self.archive, self.configuration.serveStale > .zero else {
            return
        }
        let isDue = self.state.withLock { state in
            if let last = state.archivedAt[question], .now - last < Self.archiveInterval {
                return false
            }
            if state.archivedAt.count >= self.configuration.cacheLimit {
                state.archivedAt = [:]
            }
            state.archivedAt[question] = .now
            return true
        }
        guard isDue else {
            return
        }
        archive.remember(
            ArchivedAnswer(
                question: question.description,
                message: bytes,
                receivedAt: self.wallTime(),
                source: source.description
            )
        )
    }

    private func forget(_ question: Question) {
        self.state.withLock { $0.archivedAt[question] = nil }
        self.archive?.forget(question.description)
    }

    /// Whether there is a last good answer, or one of a host's other address family: then nobody waits long for this one.
    func hasLastGood(_ question: Question) async -> Bool {
        if await self.recall(question) != nil {
            return true
        }
        switch question.type {
        case .a: return await self.recall(Question(.aaaa, question.name)) != nil
        case .aaaa: return await self.recall(Question(.a, question.name)) != nil
        default: return false
        }
    }

    /// The last good answer, through the aliases that were followed when it was given.
    private func recall(_ question: Question) async -> (answer: KnownAnswer, age: Duration)? {
        guard self.configuration.serveStale > .zero, let archive = self.archive else {
            return nil
        }
        var asked = question
        var shortest = UInt32.max
        var age = Duration.zero
        var seen: Set<Question> = []
        while seen.count < 8, seen.insert(asked).inserted, let kept = await archive.recall(asked.description) {
            age = max(age, self.wallTime() - kept.receivedAt)
            // What cannot be decoded any more is as good as not there.
            guard age <= self.configuration.serveStale, let message = try? MessageDecoder.decode(kept.message),
                let known = Interpretation(
                    message,
                    to: message.question(equalTo: asked),
                    id: message.id,
                    sentEDNS: false
                )
            else {
                return nil
            }
            let name = Interpretation.canonicalName(of: asked.name, in: message)
            if case .alias(let target, let timeToLive) = known {
                asked.name = target
                shortest = min(shortest, timeToLive)
                continue
            }
            guard known.hasRecords else {
                return nil
            }
            // Never secure: its signatures may have expired since, and a key may have been withdrawn.
            return (
                KnownAnswer(
                    interpretation: known.limited(to: shortest),
                    canonicalName: name ?? (asked == question ? nil : asked.name)
                ), age
            )
        }
        return nil
    }
}

/// An age in the largest unit that fits: `2 h`, `3 d`, `40 s`.
func spoken(_ duration: Duration) -> String {
    let seconds = duration.components.seconds
    switch seconds {
    case ..<120: return "\(seconds) s"
    case ..<7_200: return "\(seconds / 60) min"
    case ..<172_800: return "\(seconds / 3_600) h"
    default: return "\(seconds / 86_400) d"
    }
}
