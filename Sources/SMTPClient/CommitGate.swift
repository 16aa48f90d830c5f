/// Lets `beforeCommit` run once for an attempt, though the attempt may have several transactions and hosts.
///
/// An actor, since its work awaits; transactions of one attempt come one after another, so that nobody queues here.
package actor CommitGate {
    private let work: @Sendable () async throws -> Void
    private var result: Result<Void, any Error>?

    package init(_ work: @escaping @Sendable () async throws -> Void) {
        self.work = work
    }

    /// Runs the work the first time; says the same again afterwards.
    package func pass() async throws {
        if let result = self.result {
            return try result.get()
        }
        do {
            try await self.work()
            self.result = .success(())
        } catch {
            self.result = .failure(error)
            throw error
        }
    }
}
