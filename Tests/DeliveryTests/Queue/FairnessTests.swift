import Delivery
import MailModel
import TestKit
import Testing

@Suite("Fairness between destinations")
struct FairnessTests {
    private let fixture = QueueFixture()

    @Test("thousands of messages to a silent destination do not keep one message elsewhere waiting")
    func silentBacklog() async throws {
        let direct = StallingProvider("direct")
        let manager = self.fixture.manager([direct], configuration: .init(concurrency: 20, capacity: 400))
        try await self.fixture.running(manager) {
            for number in 1...3_000 {
                _ = self.fixture.submit(Int64(number), to: ["u\(number)@silent.test"], manager)
            }
            let fresh = self.fixture.submit(3_001, to: ["a@fresh.test"], manager)
            await self.fixture.store.wait { $0.contains { $0.start.messageID == fresh } }
            #expect(self.fixture.states(fresh) == [.delivered(provider: "direct")])
            #expect(manager.load.running <= 5, "the silent destination is a stranger")
            #expect(manager.load.waiting <= 200, "it has at most half of the memory")
            direct.letGo()
        }
    }

    @Test("a backlog that falls due in the store leaves room for fresh mail, too, and is given back")
    func storedBacklog() async throws {
        let direct = StallingProvider("direct")
        let manager = self.fixture.manager([direct], configuration: .init(concurrency: 20, capacity: 400))
        for number in 1...1_000 {
            self.fixture.insertDue(Int64(number), to: ["u@silent.test"])
        }
        try await self.fixture.running(manager) {
            await direct.waitUntilStalled(5)
            let fresh = self.fixture.submit(3_001, to: ["a@fresh.test"], manager)
            await self.fixture.store.wait { $0.contains { $0.start.messageID == fresh } }
            #expect(self.fixture.states(fresh) == [.delivered(provider: "direct")])
            direct.letGo()
        }
    }

    @Test(
        "a stored backlog for one destination is put off once, and stands before no other, however much content it has"
    )
    func crowdInTheStore() async throws {
        let direct = StallingProvider("direct")
        let manager = self.fixture.manager(
            [direct],
            configuration: .init(concurrency: 20, capacity: 400, contentCapacity: 1_000)
        )
        let due = self.fixture.clock.wallTime
        for number in 1...3_000 {
            self.fixture.insertDue(Int64(number), to: ["u@silent.test"])
        }
        let last = QueueID(number: 3_001)
        self.fixture.insertDue(last.number, to: ["a@other.test"])
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.contains { $0.start.messageID == last } }
            #expect(self.fixture.states(last) == [.delivered(provider: "direct")])
            let states = (1...3_000).flatMap { self.fixture.states(QueueID(number: Int64($0))) }
            let later = states.compactMap { state -> Timestamp? in
                if case .waiting(let moment) = state, moment > due { moment } else { nil }
            }
            #expect((2_700..<3_000).contains(later.count))
            #expect(self.fixture.store.putOffCount == later.count)
            #expect(Set(later).count == later.count, "they do not fall due in one moment")
            direct.letGo()
        }
    }

    @Test("of a backlog for one way that takes all mail only as much is leased as that way has room for")
    func backlogOfOneWay() async throws {
        let relay = StallingProvider("relay", grouping: .together)
        let manager = self.fixture.manager([relay], configuration: .init(concurrency: 20, capacity: 400))
        let due = self.fixture.clock.wallTime
        for number in 1...1_000 {
            self.fixture.insertDue(Int64(number), to: ["u0@silent\(number).test", "u1@silent\(number).test"])
        }
        try await self.fixture.running(manager) {
            await relay.waitUntilStalled(20)
            try await eventually { manager.load.waiting + manager.load.running >= 190 }
            let isGivenBack = (1...1_000).contains { number in
                self.fixture.states(QueueID(number: Int64(number))).contains { $0 != .waiting(dueAt: due) }
            }
            #expect(!isGivenBack)
            #expect(self.fixture.store.putOffCount == 0)
            relay.letGo()
        }
    }

    @Test("what the one way has no room for stays due, and is not put off by a guess")
    func crowdOfOneWay() {
        let relay = ScriptedProvider(accepting: "relay")
        let manager = self.fixture.manager([relay], configuration: .init(concurrency: 2, capacity: 40))
        let ids = (1...500).map { self.fixture.submit(Int64($0), to: ["u@a.test"], manager) }
        #expect(manager.load.waiting < 40)
        let due = RecipientUpdate.State.waiting(dueAt: self.fixture.clock.wallTime)
        #expect(ids.dropFirst(40).allSatisfy { self.fixture.states($0) == [due] })
    }

    @Test("many silent destinations together leave places for mail to where it flows")
    func manySilent() async throws {
        let direct = StallingProvider("direct")
        let manager = self.fixture.manager([direct], configuration: .init(concurrency: 20, capacity: 2_000))
        try await self.fixture.running(manager) {
            let first = self.fixture.submit(1, to: ["a@good.test"], manager)
            await self.fixture.store.wait { $0.contains { $0.start.messageID == first } }
            for number in 2...201 {
                _ = self.fixture.submit(Int64(number), to: ["u@silent\(number % 40).test"], manager)
            }
            await direct.waitUntilStalled(15)
            let fresh = self.fixture.submit(300, to: ["b@good.test"], manager)
            await self.fixture.store.wait { $0.contains { $0.start.messageID == fresh } }
            #expect(self.fixture.states(fresh) == [.delivered(provider: "direct")])
            direct.letGo()
        }
    }

    @Test("what waits for a destination whose breaker opens goes on at once, without an attempt each")
    func breakerFreesTheLane() async throws {
        let direct = Self.unreachable("direct")
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager(
            [direct, gmail],
            configuration: .init(concurrency: 1, pace: .init(start: 1), capacity: 2_000)
        )
        // Planned before anything is known of the destination, and run after.
        let ids = (1...200).map { self.fixture.submit(Int64($0), to: ["u@dead.test"], manager) }
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == 400 }
        }
        #expect(ids.allSatisfy { self.fixture.states($0) == [.delivered(provider: "gmail")] })
        #expect(direct.attempts.count == 1)
        #expect(try await self.fixture.store.breakers().values.map(\.openings) == [1])
    }

    @Test("what was put off for want of room goes the next way at once when the breaker of its destination opens")
    func breakerDispersesTheCrowd() async throws {
        let direct = Self.unreachable("direct")
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager(
            [direct, gmail],
            configuration: .init(concurrency: 1, pace: .init(start: 1), capacity: 100)
        )
        let began = self.fixture.clock.now
        for number in 1...300 {
            self.fixture.insertDue(Int64(number), to: ["u@dead.test"])
        }
        try await self.fixture.running(manager) {
            try await eventually("all has gone the other way") {
                self.fixture.clock.advanceToNextWake(within: .seconds(1))
                return gmail.attempts.count == 300
            }
        }
        // At the pace of the way that closed they would have been put off for twelve seconds.
        #expect(self.fixture.clock.now - began < .seconds(5))
        #expect(direct.attempts.count == 1)
        #expect(self.fixture.store.putOffCount >= 200)
    }

    @Test("a destination that found us too fast gets its mail at intervals")
    func intervals() async throws {
        let direct = ScriptedProvider("direct", grouping: .byDomain) { attempt, _ in
            attempt == 1 ? .failed(.sample(.transient, .destination, .mail, reason: .serviceUnavailable)) : .accepted
        }
        let manager = self.fixture.manager([direct], configuration: .init(concurrency: 1))
        for number in 1...2 {
            _ = self.fixture.submit(Int64(number), to: ["u@strict.test"], manager)
        }
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == 1 }
            #expect(direct.attempts.count == 1)
            // Time moves on until the lane has rested, and no faster than those who sleep see it.
            try await eventually {
                self.fixture.clock.advanceToNextWake(within: .seconds(60))
                return direct.attempts.count >= 2
            }
            // The first one may have fallen due again by then.
            await self.fixture.store.wait { $0.count >= 2 }
        }
    }
}

extension FairnessTests {
    /// A way by domain that reaches none.
    private static func unreachable(_ name: String) -> ScriptedProvider {
        ScriptedProvider(name, grouping: .byDomain) { _, _ in
            .failed(.sample(.transient, .destination, .connect, reason: .connectionFailed))
        }
    }
}
