import DNSProtocol
import Synchronization

/// Answers in memory for as long as they are good.
final class AnswerCache: Sendable {
    struct Entry: Sendable {
        var answer: KnownAnswer
        /// Whether a negative answer was believed under the rule that two sources must agree.
        var isConfirmed: Bool
        var expiresAt: ContinuousClock.Instant
    }

    /// Bounds on the time that an answer is kept, whatever its TTL says.
    private static let shortest = Duration.seconds(1)
    private static let longest = Duration.seconds(3_600)

    private let limit: Int
    private let entries = Mutex<[Question: Entry]>([:])

    init(limit: Int) {
        self.limit = max(1, limit)
    }

    /// The answer, unless it is over, or is a negative one that still needs to be confirmed.
    func answer(to question: Question, confirmed: Bool, at now: ContinuousClock.Instant = .now) -> KnownAnswer? {
        self.entries.withLock { entries in
            guard let entry = entries[question], entry.expiresAt > now,
                !confirmed || entry.isConfirmed || entry.answer.interpretation.hasRecords
            else {
                return nil
            }
            return entry.answer
        }
    }

    /// Keeps a usable answer; what could not be had is never kept here.
    func store(_ answer: KnownAnswer, for question: Question, confirmed: Bool) {
        let seconds: UInt32
        switch answer.interpretation {
        case .records(_, let timeToLive), .noData(let timeToLive), .noSuchName(let timeToLive):
            seconds = timeToLive
        case .alias, .failed, .rejectsEDNS, .truncated, .otherCase:
            return
        }
        let lifetime = min(max(.seconds(Int64(seconds)), Self.shortest), Self.longest)
        self.entries.withLock { entries in
            if entries.count >= self.limit, entries[question] == nil {
                Self.makeRoom(in: &entries)
            }
            entries[question] = Entry(
                answer: answer,
                isConfirmed: confirmed,
                expiresAt: .now + lifetime
            )
        }
    }

    /// Drops an answer that has turned out to be none.
    func remove(_ question: Question) {
        self.entries.withLock { $0[question] = nil }
    }

    func flush() {
        self.entries.withLock { $0 = [:] }
    }

    /// Drops what is over, or half of everything when nothing is.
    private static func makeRoom(in entries: inout [Question: Entry]) {
        let now = ContinuousClock.now
        let before = entries.count
        entries = entries.filter { $0.value.expiresAt > now }
        if entries.count == before {
            for question in Array(entries.keys.prefix(before / 2 + 1)) {
                entries[question] = nil
            }
        }
    }
}
