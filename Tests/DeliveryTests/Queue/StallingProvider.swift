import Delivery
import MailModel
import Synchronization
import TestKit

/// Delivers at once but to domains that begin with `silent`: there an attempt ends when it is let go.
final class StallingProvider: Provider {
    private struct State {
        var isOpen = false
        var stalled: [CheckedContinuation<Void, Never>] = []
        var watcher: (count: Int, continuation: CheckedContinuation<Void, Never>)?

        mutating func takeWatcher() -> [CheckedContinuation<Void, Never>] {
            guard let watcher = self.watcher, self.stalled.count >= watcher.count else {
                return []
            }
            self.watcher = nil
            return [watcher.continuation]
        }
    }

    let name: String
    let grouping: RecipientGrouping
    private let state = Mutex(State())

    init(_ name: String, grouping: RecipientGrouping = .byDomain) {
        self.name = name
        self.grouping = grouping
    }

    func attempt(
        _ message: QueuedMessage,
        to recipients: [Recipient],
        deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> AttemptReport {
        guard recipients.contains(where: { $0.mailbox.domain.text.hasPrefix("silent") }) else {
            return AttemptReport(outcomes: Dictionary(uniqueKeysWithValues: recipients.map { ($0.number, .accepted) }))
        }
        await withCheckedContinuation { continuation in
            let ready: [CheckedContinuation<Void, Never>] = self.state.withLock { state in
                guard !state.isOpen else {
                    return [continuation]
                }
                state.stalled.append(continuation)
                return state.takeWatcher()
            }
            ready.forEach { $0.resume() }
        }
        let failure = Failure.sample(.transient, .destination, .greeting, reason: .timeout)
        return AttemptReport(failure: failure, for: recipients)
    }

    /// Returns once so many attempts are stuck.
    func waitUntilStalled(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let ready = self.state.withLock { state in
                state.watcher = (count, continuation)
                return state.takeWatcher()
            }
            ready.forEach { $0.resume() }
        }
    }

    /// Ends what is stuck, and what comes now at once.
    func letGo() {
        let stalled = self.state.withLock { state in
            state.isOpen = true
            defer { state.stalled = [] }
            return state.stalled
        }
        stalled.forEach { $0.resume() }
    }
}
