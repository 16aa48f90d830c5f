import DNSProtocol
import Synchronization

/// What is remembered of each source: whether it failed lately and why, whether it lies, validates, understands EDNS.
///
/// What failed is asked last, and asked again behind the scenes until it answers what it failed on, or what others answered.
final class SourceHealth: Sendable {
    /// What has become of a source, for the log.
    enum Change: Hashable, Sendable {
        case left(why: SourceFailure)
        /// Whether the log was told that it had left, too.
        case cameBack(after: Duration, isNews: Bool)
    }

    /// One source as operators see it.
    struct Report: Sendable {
        var isHealthy = true
        /// Why it failed last, and since when it does.
        var failure: SourceFailure?
        var failingFor: Duration?
        /// How often others knew what it denied.
        var contradictions = 0
        var isContradicted = false
        var validates = false
        var usesEDNS = true
    }

    private struct Entry {
        var failure: Failure?
        /// Questions that it could not answer in a row, while nobody else could either.
        var strikes: Set<Question> = []
        /// It has said nothing since it was looked at last.
        var wasSilent = false
        var plainUntil: ContinuousClock.Instant?
        /// When it answered only without EDNS, with no answer to EDNS since.
        var plainAnswerAt: ContinuousClock.Instant?
        var validates = false
        /// When it is asked again whether it validates.
        var examinedUntil: ContinuousClock.Instant?
        var contradictions = 0
        var contradictedUntil: ContinuousClock.Instant?
        var announcedAt: ContinuousClock.Instant?
        /// When it came back by answering something else, and how long it was to be left alone by then.
        var relapse: (after: ContinuousClock.Instant, delay: Duration)?

        func isFailing(_ now: ContinuousClock.Instant) -> Bool {
            self.failure.map { now - $0.lastAt < SourceHealth.memory } ?? false
        }

        func isContradicted(_ now: ContinuousClock.Instant) -> Bool {
            self.contradictedUntil.map { now < $0 } ?? false
        }

        func rank(_ now: ContinuousClock.Instant) -> Int {
            (self.isFailing(now) ? 2 : 0) + (self.isContradicted(now) ? 1 : 0)
        }
    }

    private struct Failure {
        var why: SourceFailure
        /// What it failed on, and is asked again.
        var question: Question
        var since: ContinuousClock.Instant
        var lastAt: ContinuousClock.Instant
        var nextProbe: ContinuousClock.Instant
        var probeDelay: Duration
        var isAnnounced: Bool
    }

    /// How long a failure counts when nobody probes.
    private static let memory = Duration.seconds(90)
    private static let firstProbe = Duration.seconds(2)
    private static let longestProbe = Duration.seconds(60)
    /// How long a source is asked without EDNS after it answered only so.
    private static let plainMemory = Duration.seconds(900)
    /// How long a source whose "there is none" was wrong is asked last.
    private static let lieMemory = Duration.seconds(600)
    /// How soon the log may tell of the same source again.
    private static let announcementInterval = Duration.seconds(60)
    /// How soon a source is asked again whether it validates, after it said so or not, or said nothing.
    private static let examinationInterval = Duration.seconds(3_600)
    private static let shortExaminationInterval = Duration.seconds(60)
    /// So many names in a row that it could not resolve make a source suspect.
    private static let strikeLimit = 3

    private let entries = Mutex<[DNSSource: Entry]>([:])
    private let answered = Mutex(AnsweredQuestions())

    /// The sources in the order in which they are to be asked: the operator's, but what lied lately and then what failed
    /// lately last.
    func ordered(_ sources: [DNSSource]) -> [DNSSource] {
        let now = ContinuousClock.now
        let ranks = self.entries.withLock { $0.mapValues { $0.rank(now) } }
        return (0...3).flatMap { rank in sources.filter { ranks[$0, default: 0] == rank } }
    }

    /// Forgets all failures and lies, so that every source is as good as any other again.
    ///
    /// Who validates does so until it is examined again, which is due now: nobody may switch DANE off meanwhile.
    func forget() {
        self.entries.withLock { $0 = $0.filter(\.value.validates).mapValues { _ in Entry(validates: true) } }
    }

    func usesEDNS(_ source: DNSSource) -> Bool {
        self.entries.withLock { $0[source]?.plainUntil.map { $0 < .now } ?? true }
    }

    func isHealthy(_ source: DNSSource) -> Bool {
        self.entries.withLock { $0[source]?.isFailing(.now) != true }
    }

    /// Whether it has said that it validated an answer, and not answered without a word on it when it was examined since.
    func validates(_ source: DNSSource) -> Bool {
        self.entries.withLock { $0[source]?.validates ?? false }
    }

    func report(_ source: DNSSource) -> Report {
        let now = ContinuousClock.now
        return self.entries.withLock { entries in
            guard let entry = entries[source] else {
                return Report()
            }
            return Report(
                isHealthy: !entry.isFailing(now),
                failure: entry.isFailing(now) ? entry.failure?.why : nil,
                failingFor: entry.isFailing(now) ? entry.failure.map { now - $0.since } : nil,
                contradictions: entry.contradictions,
                isContradicted: entry.isContradicted(now),
                validates: entry.validates,
                usesEDNS: entry.plainUntil.map { $0 < now } ?? true
            )
        }
    }

    /// Takes in an answer as it comes; an answer that may be the name's fault waits for `judge`.
    func record(_ answer: SourceAnswer, to question: Question, of source: DNSSource) -> Change? {
        let knewAnother = self.answered.withLock { answered in
            if answer.failure == nil {
                answered.add(question, at: .now)
            }
            return answered.holds(question, at: .now)
        }
        return self.entries.withLock { entries in
            var entry = entries[source] ?? Entry()
            defer { entries[source] = entry }
            Self.noteEDNS(answer, &entry)
            guard let failure = answer.failure else {
                entry.validates = entry.validates || answer.isAuthenticated
                entry.strikes = []
                entry.wasSilent = false
                return Self.recover(&entry, question)
            }
            // Others were quicker with their answer than this source with its silence: the lookup is over, and judges no more.
            guard failure.mayBeOfTheName, !(failure == .silence && knewAnother) else {
                return Self.fail(&entry, failure, question)
            }
            entry.wasSilent = entry.wasSilent || failure == .silence
            if entry.strikes.count < Self.strikeLimit {
                entry.strikes.insert(question)
            }
            return nil
        }
    }

    /// The sources that kept silent, or could not resolve several names in a row, each named once; perhaps it is they who are
    /// broken.
    func suspects() -> [DNSSource] {
        self.entries.withLock { entries in
            let suspects = entries.filter { _, entry in
                entry.failure == nil && (entry.wasSilent || entry.strikes.count >= Self.strikeLimit)
            }
            for source in suspects.keys {
                entries[source]?.strikes = []
                entries[source]?.wasSilent = false
            }
            return Array(suspects.keys)
        }
    }

    /// What some source answered last, other than a question: whoever cannot answer that either has failed, and not the name.
    func answeredQuestion(otherThan question: Question) -> Question? {
        self.answered.withLock { $0.latest(otherThan: question) }
    }

    /// Those of some sources of which it is to be found out whether they validate; each will come up later the next time.
    func unexamined(_ sources: [DNSSource], at now: ContinuousClock.Instant) -> [DNSSource] {
        self.entries.withLock { entries in
            let due = sources.filter { source in
                let entry = entries[source, default: Entry()]
                return !entry.isFailing(now) && entry.examinedUntil.map { $0 <= now } ?? true
            }
            due.forEach { entries[$0, default: Entry()].examinedUntil = now + Self.shortExaminationInterval }
            return due
        }
    }

    /// What came of the question whether a source validates; an answer to that is held neither against it nor for it.
    func examined(_ source: DNSSource, _ answer: SourceAnswer, at now: ContinuousClock.Instant) {
        guard answer.interpretation.isUsable else {
            return
        }
        self.entries.withLock { entries in
            entries[source, default: Entry()].validates = answer.isAuthenticated
            entries[source, default: Entry()].examinedUntil = now + Self.examinationInterval
        }
    }

    /// Others could answer what this source could not: it was not the name's fault.
    func judge(_ failure: SourceFailure, to question: Question, of source: DNSSource) -> Change? {
        self.entries.withLock { Self.fail(&$0[source, default: Entry()], failure, question) }
    }

    /// Others have what this source denied.
    func contradict(_ source: DNSSource) {
        self.entries.withLock { entries in
            entries[source, default: Entry()].contradictions += 1
            entries[source, default: Entry()].contradictedUntil = .now + Self.lieMemory
        }
    }

    /// The sources that are to be asked again now, and what; each will come up later the next time.
    func dueProbes(at now: ContinuousClock.Instant) -> [(source: DNSSource, question: Question)] {
        self.entries.withLock { entries in
            entries.compactMap { source, entry in
                guard var failure = entry.failure, failure.nextProbe <= now else {
                    return nil
                }
                failure.probeDelay = min(failure.probeDelay * 2, Self.longestProbe)
                failure.nextProbe = now + failure.probeDelay
                entries[source]?.failure = failure
                return (source, failure.question)
            }
        }
    }

    /// A source is without EDNS when it has answered only so to two questions, one after the other: a datagram may be lost, also
    /// with others that were sent beside it.
    private static func noteEDNS(_ answer: SourceAnswer, _ entry: inout Entry) {
        let now = ContinuousClock.now
        if !answer.withoutEDNS {
            entry.plainAnswerAt = answer.message == nil ? entry.plainAnswerAt : nil
        } else if let before = entry.plainAnswerAt {
            entry.plainUntil = now - answer.elapsed > before ? now + Self.plainMemory : entry.plainUntil
        } else {
            entry.plainAnswerAt = now
        }
    }

    private static func fail(_ entry: inout Entry, _ why: SourceFailure, _ question: Question) -> Change? {
        let now = ContinuousClock.now
        if entry.isFailing(now), var failure = entry.failure {
            failure.why = why
            failure.lastAt = now
            entry.failure = failure
            return nil
        }
        let isAnnounced = entry.announcedAt.map { now - $0 > Self.announcementInterval } ?? true
        // Who comes and goes is left alone longer each time.
        let delay = entry.relapse.map { now - $0.after < Self.memory ? $0.delay : Self.firstProbe } ?? Self.firstProbe
        entry.failure = Failure(
            why: why,
            question: question,
            since: now,
            lastAt: now,
            nextProbe: now + delay,
            probeDelay: delay,
            isAnnounced: isAnnounced
        )
        guard isAnnounced else {
            return nil
        }
        entry.announcedAt = now
        return .left(why: why)
    }

    private static func recover(_ entry: inout Entry, _ question: Question) -> Change? {
        guard let failure = entry.failure else {
            return nil
        }
        entry.relapse = failure.question == question ? nil : (.now, failure.probeDelay)
        entry.failure = nil
        return .cameBack(after: .now - failure.since, isNews: failure.isAnnounced)
    }
}
