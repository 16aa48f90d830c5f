import Delivery
import MailModel
import TestKit
import Testing

@Suite("Mail that waits for its turn")
struct ReliefTests {
    private let fixture = QueueFixture()
    private let gmail = ScriptedProvider(accepting: "gmail")

    private var isDelivered: @Sendable (RecipientUpdate.State) -> Bool {
        { $0 == .delivered(provider: "gmail") }
    }

    /// Says at once that we are too fast; between two attempts lie more seconds than anybody waits.
    private func throttled(_ chain: [any Provider]) -> QueueManager {
        let pace = Pace.Policy(start: 1, firstInterval: .seconds(200), longestInterval: .seconds(200))
        return self.fixture.manager(chain, configuration: .init(concurrency: 20, pace: pace))
    }

    private var strict: ScriptedProvider {
        ScriptedProvider("direct", grouping: .byDomain) { _, recipient in
            recipient.mailbox.domain.text == "strict.test"
                ? .failed(.sample(.transient, .destination, .mail, reason: .rateLimited)) : .accepted
        }
    }

    @Test("behind attempts that never end it goes the next way after fallback-after, and not before")
    func silentDestination() async throws {
        let direct = StallingProvider("direct")
        let manager = self.fixture.manager([direct, self.gmail], configuration: .init(concurrency: 20))
        let begin = self.fixture.clock.wallTime
        try await self.fixture.running(manager) {
            let ids = (1...8).map { self.fixture.submit(Int64($0), to: ["u\($0)@silent.test"], manager) }
            await direct.waitUntilStalled(5)
            try await eventually {
                if self.gmail.attempts.isEmpty {
                    self.fixture.clock.advanceToNextWake(within: .seconds(60))
                }
                return ids.flatMap(self.fixture.states).count(where: self.isDelivered) == 3
            }
            #expect(self.fixture.clock.wallTime - begin >= .seconds(120))
            #expect(self.fixture.clock.wallTime - begin < .seconds(180))
            let why = self.fixture.store.results.compactMap { $0.updates.first?.lastFailure }
            #expect(why == Array(repeating: Self.crowdedOut, count: 3))
            direct.letGo()
        }
    }

    private func spent(until moment: Timestamp) -> BreakerState {
        BreakerState(
            openUntil: moment,
            openedAt: self.fixture.clock.wallTime,
            openings: 1,
            reason: .quotaExceeded,
            text: "spent"
        )
    }

    private static let crowdedOut =
        "4.4.5 not begun: silent.test takes mail slowly or not at all, and this has waited 120 s for its turn"

    @Test("where no other way is open it stays, and goes when one opens")
    func noOtherWay() async throws {
        let direct = StallingProvider("direct")
        let closed = BreakerKey(provider: "gmail", part: .whole)
        let until = self.fixture.clock.wallTime + .seconds(600)
        let manager = self.fixture.manager(
            [direct, self.gmail],
            breakers: [closed: self.spent(until: until)],
            configuration: .init(concurrency: 20)
        )
        try await self.fixture.running(manager) {
            for number in 1...8 {
                _ = self.fixture.submit(Int64(number), to: ["u\(number)@silent.test"], manager)
            }
            await direct.waitUntilStalled(5)
            try await eventually {
                if self.fixture.clock.wallTime < until {
                    #expect(manager.load.waiting == 3)
                    #expect(self.gmail.attempts.isEmpty)
                }
                self.fixture.clock.advanceToNextWake(within: .seconds(60))
                return self.gmail.attempts.count == 3
            }
            direct.letGo()
        }
    }

    @Test("what comes while the wait is longer than fallback-after goes the next way at once")
    func fresh() async throws {
        let manager = self.throttled([self.strict, self.gmail])
        try await self.fixture.running(manager) {
            let first = self.fixture.submit(1, to: ["a@strict.test"], manager)
            await self.fixture.store.wait { $0.contains { $0.start.messageID == first } }
            let second = self.fixture.submit(2, to: ["b@strict.test"], manager)
            try await eventually { manager.load.waiting == 1 }
            let third = self.fixture.submit(3, to: ["c@strict.test", "d@quick.test"], manager)
            self.fixture.insertDue(4, to: ["e@strict.test"])
            manager.lookAgain()
            let stored = QueueID(number: 4)
            await self.fixture.store.wait { $0.contains { $0.start.messageID == stored } }
            await self.fixture.store.wait { $0.count { $0.start.messageID == third } == 2 }
            #expect(self.fixture.states(third) == [.delivered(provider: "gmail"), .delivered(provider: "direct")])
            #expect(self.fixture.states(stored) == [.delivered(provider: "gmail")])
            #expect(self.fixture.states(second) == [.active])
        }
    }

    @Test("with one way alone it waits for it")
    func onlyWay() async throws {
        let manager = self.throttled([self.strict])
        try await self.fixture.running(manager) {
            let first = self.fixture.submit(1, to: ["a@strict.test"], manager)
            await self.fixture.store.wait { $0.contains { $0.start.messageID == first } }
            for number in 2...9 {
                _ = self.fixture.submit(Int64(number), to: ["b@strict.test"], manager)
            }
            try await eventually { manager.load.waiting == 8 }
        }
    }
}

@Suite("What has waited too long in a lane")
struct OverdueTests {
    private typealias Queue = ReadyQueue<Int>
    private let now = ContinuousClock.now
    private let lane = Queue.Lane(provider: "direct", destination: "a.test")

    private func queue(_ words: [Pace.Word]) throws -> Queue {
        var queue = Queue(policy: .init(start: 1, maximum: 4), doubtfulLimit: 10)
        (0..<9).forEach { queue.append($0, to: self.lane, at: self.now) }
        for word in words {
            let turn = queue.next(at: self.now)
            queue.finish(try #require(turn), word, at: self.now + .seconds(60))
        }
        return queue
    }

    @Test(
        "is what came before the limit, where nothing has gone well since",
        arguments: [
            ([], 9), ([.trouble], 8), ([.good], 0), ([.good, .trouble], 0), ([.tooFast], 8),
        ] as [([Pace.Word], Int)]
    )
    func words(words: [Pace.Word], count: Int) throws {
        var queue = try self.queue(words)
        #expect(queue.removeOverdue(before: self.now - .seconds(1)) { _ in true }.isEmpty)
        let removed = queue.removeOverdue(before: self.now) { _ in true }
        #expect(removed.count == count)
        #expect(queue.waitingCount == 9 - words.count - count)
    }

    @Test("the rest of a lane outlives its mail")
    func rests() throws {
        var queue = Queue(policy: .init(firstInterval: .seconds(30)), doubtfulLimit: 10)
        queue.append(1, to: self.lane, at: self.now)
        let turn = queue.next(at: self.now)
        queue.finish(try #require(turn), .tooFast, at: self.now)
        queue.append(2, to: self.lane, at: self.now)
        #expect(queue.next(at: self.now + .seconds(29)) == nil)
        #expect(queue.next(at: self.now + .seconds(30))?.element == 2)
    }

    @Test("a lane is stuck when what comes would wait longer than anybody has patience")
    func stuck() throws {
        #expect(!(try self.queue([]).isStuck(self.lane, patience: .seconds(1))), "a stranger")
        #expect(!(try self.queue([.good]).isStuck(self.lane, patience: .seconds(1))), "it flows")
        #expect(try self.queue([.trouble]).isStuck(self.lane, patience: .seconds(100)))
        #expect(!(try self.queue([.trouble]).isStuck(self.lane, patience: .seconds(1_000))))
        #expect(try self.queue([.tooFast]).isStuck(self.lane, patience: .seconds(4)))
    }
}
