import Synchronization

/// Lets `beforeCommit` run once for an attempt, though the attempt may have several transactions and hosts.
///
/// The transactions of one attempt come one after another, so that nobody ever waits here for somebody else's work.
package final class CommitGate: Sendable {
    private let work: @Sendable () async throws -> Void
    private let result = Mutex<Result<Void, any Error>?>(nil)

    package init(_ work: @escaping @Sendable () async throws -> Void) {
        self.work = work
    }

    /// Runs the work the first time; says the same again afterwards.
    package func pass() async throws {
        if let result = self.result.withLock({ $0 }) {
            return try result.get()
        }
        do {
            try await self.work()
            self.result.withLock { $0 = .success(()) }
        } catch {
            self.result.withLock { $0 = .failure(error) }
            throw error
        }
    }
}
