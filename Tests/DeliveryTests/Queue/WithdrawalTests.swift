import Delivery
import MailModel
import Synchronization
import TestKit
import Testing

@Suite("An operator's change of what waits in memory")
struct WithdrawalTests {
    private let fixture = QueueFixture()

    private func manager(_ providers: [any Provider]) -> QueueManager {
        self.fixture.manager(providers, configuration: .init(concurrency: 1, pace: .init(start: 1)))
    }

    @Test("holds what is planned and not begun before the change is made; what runs goes on")
    func reachesMemory() async throws {
        let direct = StallingProvider("direct")
        let manager = self.manager([direct])
        try await self.fixture.running(manager) {
            let ids = (1...20).map { self.fixture.submit(Int64($0), to: ["u@silent.test"], manager) }
            await direct.waitUntilStalled(1)
            let withdrawal = try await manager.withdraw(.all) {
                #expect(ids.count { self.fixture.states($0) == [.held] } == 19)
                #expect(ids.count { self.fixture.states($0) == [.active] } == 1)
                return 7
            }
            #expect(withdrawal.held == 19)
            #expect(withdrawal.changed == 7)
            #expect(manager.load == (waiting: 0, running: 1))
            direct.letGo()
            await self.fixture.store.wait { $0.count == 20 }
            #expect(ids.count { self.fixture.states($0) == [.held] } == 19)
        }
        #expect(self.fixture.store.results.count { $0.move.hasPrefix("not begun") } == 19)
    }

    @Test("touches nobody else: one message, or the recipients of one domain in any case")
    func reachesTheSelected() async throws {
        let relay = ScriptedProvider(accepting: "relay")
        let manager = self.manager([relay])
        let first = self.fixture.submit(1, to: ["a@x.test", "b@Other.test", "c@x.test"], manager)
        let second = self.fixture.submit(2, to: ["a@x.test"], manager)
        #expect(try await manager.withdraw(.domain("other.test")) { 0 }.held == 1)
        #expect(try await manager.withdraw(.message(second)) { 0 }.held == 1)
        #expect(self.fixture.states(first) == [.active, .held, .active])
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == 3 }
        }
        let sent = RecipientUpdate.State.delivered(provider: "relay")
        #expect(self.fixture.states(first) == [sent, .held, sent])
        #expect(self.fixture.states(second) == [.held])
        #expect(relay.attempts == [["a@x.test", "c@x.test"]])
        #expect(self.fixture.store.begun.map(\.recipients) == [[0, 2]], "what is left of an attempt is one of its own")
    }

    @Test("ends the probe that it takes out, so that another message may try the way")
    func endsProbes() async throws {
        let past = self.fixture.clock.wallTime + .seconds(-1)
        let open = BreakerState(openUntil: past, openedAt: past, openings: 1, reason: .protocolError, text: "no")
        let manager = self.fixture.manager(
            [ScriptedProvider(accepting: "relay")],
            breakers: [BreakerKey(provider: "relay"): open]
        )
        let ids = (1...2).map { self.fixture.submit(Int64($0), to: ["a@x.test"], manager) }
        #expect(self.fixture.states(ids[0]) == [.active])
        #expect(self.fixture.states(ids[1]) != [.active], "the first one is the probe")
        #expect(try await manager.withdraw(.message(ids[0])) { 0 }.held == 1)
        #expect(self.fixture.states(self.fixture.submit(3, to: ["a@x.test"], manager)) == [.active])
    }

    @Test("when the store cannot be written the operator hears so, and what waits is delivered as before")
    func storeTrouble() async throws {
        let relay = ScriptedProvider(accepting: "relay")
        let manager = self.manager([relay])
        let ids = (1...3).map { self.fixture.submit(Int64($0), to: ["a@x.test"], manager) }
        self.fixture.store.fail(with: StoreFailure(.full, "no room"))
        await #expect(throws: StoreFailure(.full, "no room")) {
            try await manager.withdraw(.all) {
                Issue.record("nothing may be changed")
                return 0
            }
        }
        self.fixture.store.fail(with: nil)
        #expect(manager.load == (waiting: 3, running: 0))
        #expect(manager.unfinishedCount == 0)
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == 3 }
        }
        #expect(ids.allSatisfy { self.fixture.states($0) == [.delivered(provider: "relay")] })
    }

    @Test("reaches what was being leased when it came, which is in memory only afterwards")
    func reachesWhatIsBeingLeased() async throws {
        let relay = ScriptedProvider(accepting: "relay")
        let manager = self.manager([relay])
        let (id, store) = (QueueID(number: 1), self.fixture.store)
        self.fixture.insertDue(1, to: ["a@x.test"])
        let (withdrawals, begun) = AsyncStream.makeStream(of: Task<Withdrawal, any Error>.self)
        store.afterLeasing { _ in
            store.afterLeasing(nil)
            let isMade = Mutex(false)
            let task = Task {
                try await manager.withdraw(.all) {
                    isMade.withLock { $0 = true }
                    return 0
                }
            }
            // It must not be made before the batch has arrived: it is given every opportunity.
            for _ in 0..<1_000 where !isMade.withLock(\.self) {
                await Task.yield()
            }
            begun.yield(task)
        }
        try await self.fixture.running(manager) {
            let withdrawal = try await withdrawals.first { _ in true }?.value
            #expect(withdrawal?.held == 1)
            #expect(self.fixture.states(id) == [.held])
        }
        #expect(relay.attempts.isEmpty)
    }

    @Test("does not wait for a leasing that cannot end, since the store cannot be written; the operator hears so")
    func storeTroubleWhileLeasing() async throws {
        let manager = self.fixture.manager(
            [ScriptedProvider(accepting: "relay")],
            onAmbiguous: .hold,
            configuration: .init(concurrency: 1)
        )
        let (store, failure) = (self.fixture.store, StoreFailure(.full, "no room"))
        let message = QueuedMessage.sample(1, arrivedAt: self.fixture.clock.wallTime)
        let recipient = Recipient(number: 0, forwardPath: .sample("a@x.test"))
        store.insert(message, [recipient], dueAt: message.arrivedAt, interruptedAt: "relay")
        let heard = Heard()
        store.afterLeasing { _ in
            store.afterLeasing(nil)
            store.fail(with: failure)
            Task {
                do throws(StoreFailure) {
                    _ = try await manager.withdraw(.all) { 0 }
                } catch {
                    heard.failure.withLock { $0 = error }
                }
            }
        }
        try await self.fixture.running(manager) {
            try await eventually("the operator hears") {
                self.fixture.clock.advanceToNextWake(within: .seconds(2))
                return heard.failure.withLock { $0 == failure }
            }
            store.fail(with: nil)
            try await eventually("it is held after all") {
                self.fixture.clock.advanceToNextWake(within: .seconds(2))
                return self.fixture.states(message.id) == [.held]
            }
        }
    }
}

/// What an operator was told.
private final class Heard: Sendable {
    let failure = Mutex<StoreFailure?>(nil)
}
