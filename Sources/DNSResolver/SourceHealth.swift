import DNSProtocol
import Synchronization

/// Which sources have just failed, and which of them do not understand EDNS; kept for a short while.
final class SourceHealth: Sendable {
    private struct Entry {
        var failedAt: ContinuousClock.Instant?
        var plainUntil: ContinuousClock.Instant?
    }

    /// How long a source that failed is asked last.
    private static let memory = Duration.seconds(30)
    /// How long a source is asked without EDNS after it answered only so.
    private static let plainMemory = Duration.seconds(900)

    private let entries = Mutex<[DNSSource: Entry]>([:])

    /// The sources in the order in which they are to be asked: the operator's, but what just failed last.
    func ordered(_ sources: [DNSSource]) -> [DNSSource] {
        let now = ContinuousClock.now
        let failures = self.entries.withLock { $0.mapValues(\.failedAt) }
        let isDoubtful = { (source: DNSSource) in
            (failures[source] ?? nil).map { now - $0 < Self.memory } ?? false
        }
        return sources.filter { !isDoubtful($0) } + sources.filter(isDoubtful)
    }

    /// Forgets all failures: every source is as good as any other again.
    func forget() {
        self.entries.withLock { $0 = [:] }
    }

    func usesEDNS(_ source: DNSSource) -> Bool {
        self.entries.withLock { $0[source]?.plainUntil.map { $0 < .now } ?? true }
    }

    func isHealthy(_ source: DNSSource) -> Bool {
        self.entries.withLock { $0[source]?.failedAt.map { ContinuousClock.now - $0 >= Self.memory } ?? true }
    }

    func record(_ answer: SourceAnswer, of source: DNSSource) {
        self.entries.withLock { entries in
            entries[source, default: Entry()].failedAt = answer.interpretation.isUsable ? nil : .now
            if answer.withoutEDNS {
                entries[source, default: Entry()].plainUntil = .now + Self.plainMemory
            }
        }
    }
}
