import Delivery
import TestKit
import Testing

@Suite("Records of attempts")
struct RecordingTests {
    private let fixture = QueueFixture()

    @Test("a lane goes on while records are outstanding, but not with more than a few of them")
    func recordsMayBeOutstanding() async throws {
        let provider = ScriptedProvider(accepting: "one")
        let concurrency = 2
        let manager = self.fixture.manager(
            [provider],
            configuration: .init(concurrency: concurrency, pace: .init(start: 1, maximum: 1))
        )
        let ids = (1...20).map { self.fixture.submit(Int64($0), to: ["u@a.test"], manager) }
        self.fixture.store.fail(with: StoreFailure(.busy, "locked"))
        try await self.fixture.running(manager) {
            // As many as may be outstanding, and one in the hands of each worker, who waits for it.
            try await eventually("all that may begin has been attempted") {
                provider.attempts.count == 2 * concurrency && manager.load == (20 - 2 * concurrency, 0)
            }
            #expect(manager.unfinishedCount == 2 * concurrency)
            #expect(self.fixture.store.results.isEmpty)
            self.fixture.store.fail(with: nil)
            try await eventually("all is on record") {
                self.fixture.clock.advanceToNextWake(within: .seconds(2))
                return self.fixture.store.results.count == 20
            }
        }
        #expect(provider.attempts.count == 20)
        #expect(ids.allSatisfy { self.fixture.states($0) == [.delivered(provider: "one")] })
    }
}
