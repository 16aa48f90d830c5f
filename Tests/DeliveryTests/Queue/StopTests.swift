import Delivery
import MailModel
import TestKit
import Testing

@Suite("A stop of the queue")
struct StopTests {
    private let fixture = QueueFixture()
    private var isDue: [RecipientUpdate.State] {
        [.waiting(dueAt: self.fixture.clock.wallTime)]
    }

    @Test("gives back what was being committed when it came, which comes into a lane only afterwards")
    func givesBackWhatIsCommittedLate() async throws {
        let relay = ScriptedProvider(accepting: "relay")
        let manager = self.fixture.manager([relay])
        let early = self.fixture.submit(1, to: ["a@x.test"], manager)
        let commit = self.fixture.begin(2, to: ["a@x.test"], manager)
        #expect(manager.unfinishedCount == 1)
        manager.stop()
        async let run: Void = manager.run()
        await self.fixture.store.wait { $0.count == 1 }
        #expect(self.fixture.states(early) == self.isDue)
        let late = commit()
        try await run
        #expect(self.fixture.states(late) == self.isDue)
        #expect(relay.attempts.isEmpty)
        #expect(manager.load == (waiting: 0, running: 0))
    }

    @Test("gives back what an operator's change leaves of an attempt when the lanes are empty already")
    func givesBackWhatIsPutBack() async throws {
        let relay = ScriptedProvider(accepting: "relay")
        let manager = self.fixture.manager([relay])
        let first = self.fixture.submit(1, to: ["a@x.test", "b@other.test"], manager)
        let second = self.fixture.submit(2, to: ["a@x.test"], manager)
        let store = self.fixture.store
        manager.stop()
        let (runs, begun) = AsyncStream.makeStream(of: Task<Void, any Error>.self)
        store.beforeFinish { _ in
            store.beforeFinish(nil)
            begun.yield(Task { try await manager.run() })
            await store.wait { $0.contains { $0.start.messageID == second } }
        }
        #expect(try await manager.withdraw(.domain("other.test")) { 0 }.held == 1)
        try await runs.first { _ in true }?.value
        #expect(self.fixture.states(first) == self.isDue + [.held])
        #expect(self.fixture.states(second) == self.isDue)
        #expect(relay.attempts.isEmpty)
    }

    @Test("waits no longer than it is let: what cannot be committed then is left as it is")
    func isCutShort() async throws {
        let manager = self.fixture.manager([ScriptedProvider(accepting: "relay")])
        _ = self.fixture.begin(1, to: ["a@x.test"], manager)
        manager.stop()
        let run = Task { try await manager.run() }
        run.cancel()
        try await run.value
        #expect(manager.unfinishedCount == 1)
    }
}
