import Delivery
import MailModel
import TestKit
import Testing

@Suite("A message that may already have been accepted")
struct DoubtTests {
    private let fixture = QueueFixture()
    private var clock: ManualDeliveryClock { self.fixture.clock }
    private var store: MemoryStore { self.fixture.store }

    /// A provider whose login is refused at the first attempt, which closes it for a quarter of an hour.
    private let refusing = ScriptedProvider("api") { attempt, _ in
        attempt == 1 ? .failed(.sample(.permanent, .provider, .auth)) : .accepted
    }

    /// Puts a message into the store that is due and in doubt at a provider; since when is nil after a crash.
    private func insert(_ number: Int64, inDoubtAt provider: String, since: Timestamp?) -> QueueID {
        let message = QueuedMessage.sample(number, arrivedAt: self.clock.wallTime)
        var recipient = Recipient(number: 0, forwardPath: .sample("a@x.test"))
        if let since {
            recipient.progress = .init(attempts: 1, rounds: 1, deferredSince: since, ambiguousAt: provider)
        }
        let interruptedAt = since == nil ? provider : nil
        self.store.insert(message, [recipient], dueAt: message.arrivedAt, interruptedAt: interruptedAt)
        return message.id
    }

    @Test("waits for a provider that is left alone until fallback-after, and no longer", arguments: [true, false])
    func movesOnFromClosedProvider(isAfterCrash: Bool) async throws {
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager([self.refusing, gmail])
        try await self.fixture.running(manager) {
            _ = self.fixture.submit(1, to: ["first@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            let began = self.clock.wallTime
            let id = self.insert(2, inDoubtAt: "api", since: isAfterCrash ? nil : began)
            manager.lookAgain()
            try await eventually("it is given back until fallback-after has passed") {
                self.fixture.states(id) == [.waiting(dueAt: began + .seconds(120))]
            }
            self.clock.advance(by: .seconds(120))
            manager.lookAgain()
            await self.store.wait { $0.count == 3 }
            #expect(self.fixture.states(id) == [.delivered(provider: "gmail")])
        }
        #expect(self.refusing.attempts.count == 1)
    }

    @Test("stays with its provider while that one is down, until fallback-after", arguments: [true, false])
    func waitsForWhoIsDown(isFirst: Bool) async throws {
        let api = ScriptedProvider("api") { attempt, _ in
            switch attempt {
            case 1: .failed(.sample(.transient, .provider, .connect))
            default: .accepted
            }
        }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager(isFirst ? [api, gmail] : [gmail, api])
        let began = self.clock.wallTime
        let id = self.insert(1, inDoubtAt: "api", since: began)
        try await self.fixture.running(manager) {
            await self.store.wait { $0.count == 1 }
            #expect(self.fixture.states(id) == [.waiting(dueAt: began + .seconds(60))])
            #expect(self.store.entries(of: id).map(\.recipient.progress.ambiguousAt) == ["api"])
            self.clock.advance(by: .seconds(60))
            manager.lookAgain()
            await self.store.wait { $0.count == 2 }
            #expect(self.fixture.states(id) == [.delivered(provider: "api")])
        }
        #expect(gmail.attempts.isEmpty)
    }

    @Test(
        "is known to be in doubt also when patience is over, its provider down and another one fails",
        arguments: 1...2
    )
    func keepsDoubt(providers: Int) async throws {
        let down = { (name: String) in
            ScriptedProvider(name) { _, _ in .failed(.sample(.transient, .provider, .connect)) }
        }
        let (gmail, api) = (down("gmail"), down("api"))
        let manager = self.fixture.manager([gmail, api].suffix(providers))
        let id = self.insert(1, inDoubtAt: "api", since: self.clock.wallTime + .seconds(-120))
        try await self.fixture.running(manager) {
            await self.store.wait { $0.count == providers }
            #expect(api.attempts.count == 1 && gmail.attempts.count == providers - 1)
            #expect(self.store.entries(of: id).map(\.recipient.progress.ambiguousAt) == ["api"])
        }
    }

    @Test("is waited for from the doubt on, however long another provider has said later")
    func beginsPatienceAnew() async throws {
        let api = ScriptedProvider("api") { _, _ in .failed(.sample(.ambiguous, .destination, .commit)) }
        let manager = self.fixture.manager([api])
        let message = QueuedMessage.sample(1, arrivedAt: self.clock.wallTime)
        var recipient = Recipient(number: 0, forwardPath: .sample("a@x.test"))
        recipient.progress.deferredSince = message.arrivedAt + .seconds(-3_600)
        self.store.insert(message, [recipient], dueAt: message.arrivedAt)
        try await self.fixture.running(manager) {
            await self.store.wait { $0.count == 1 }
            #expect(self.store.entries(of: message.id).map(\.recipient.progress.deferredSince) == [message.arrivedAt])
        }
    }

    @Test("that was held goes to who may have it when it is released, with patience from then on")
    func asksTheSameAfterHold() async throws {
        let direct = ScriptedProvider("direct") { attempt, _ in
            attempt == 1 ? .failed(.sample(.transient, .destination, .connect)) : .accepted
        }
        let api = ScriptedProvider("api") { attempt, _ in
            attempt == 1 ? .failed(.sample(.ambiguous, .destination, .commit)) : .accepted
        }
        let manager = self.fixture.manager([direct, api], onAmbiguous: .hold)
        try await self.fixture.running(manager) {
            let id = self.fixture.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            #expect(self.fixture.states(id) == [.held])
            let entry = try #require(self.store.entries(of: id).first)
            #expect(entry.recipient.progress.deferredSince == nil)
            self.clock.advance(by: .seconds(3_600))
            self.store.insert(entry.message, [entry.recipient], dueAt: self.clock.wallTime)
            manager.lookAgain()
            await self.store.wait { $0.count == 3 }
            #expect(self.fixture.states(id) == [.delivered(provider: "api")])
        }
        #expect(direct.attempts.count == 1)
    }

    private func plan(_ number: Int64, _ manager: QueueManager) -> FreshPlan {
        let message = QueuedMessage.sample(number, arrivedAt: self.clock.wallTime)
        return manager.plan(message, [Recipient(number: 0, forwardPath: .sample("a@x.test"))])
    }

    @Test("is only one that has begun: where that is held, who waits is recorded when its turn comes")
    func recordsWhoWaitsLater() async throws {
        let api = ScriptedProvider(accepting: "api")
        let manager = self.fixture.manager([api], onAmbiguous: .hold)
        try await self.fixture.running(manager) {
            try await eventually("a worker is idle for each of four plans, and none for a fifth") {
                let plans = (1...5).map { self.plan($0, manager) }
                defer { plans.forEach(manager.drop) }
                return plans.map(\.firstAttempts.count) == [1, 1, 1, 1, 0] && plans[4].planned == [0]
            }
            let plans = (1...4).map { self.plan($0, manager) }
            let waits = self.fixture.submit(5, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 1 }
            #expect(self.fixture.states(waits) == [.delivered(provider: "api")])
            #expect(self.store.begun.map(\.messageID) == [waits])
            plans.forEach(manager.drop)
            let sixth = self.plan(6, manager)
            #expect(sixth.planned.isEmpty, "the places are free again")
            manager.drop(sixth)
        }
    }

    @Test("may be any that a crash finds where it is sent again, and costs no commit of its own")
    func recordsAllAtOnce() {
        let manager = self.fixture.manager([ScriptedProvider(accepting: "api")])
        let plans = (1...9).map { self.plan($0, manager) }
        #expect(plans.allSatisfy { $0.firstAttempts.count == 1 && $0.planned.isEmpty })
    }

    /// What becomes of a message in doubt at the second of three providers, which cannot carry it.
    struct Refusal: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// What the first provider says; nil when it takes the message.
        let failure: Failure?
        let asked: [Int]
        let state: RecipientUpdate.State
    }

    private static let refusals = [
        Refusal(
            testDescription: "the first provider takes it",
            failure: nil,
            asked: [1, 1, 0],
            state: .delivered(provider: "direct")
        ),
        Refusal(
            testDescription: "the first provider fails for now, which bounces nothing",
            failure: .sample(.transient, .destination, .connect),
            asked: [1, 1, 1],
            state: .waiting(dueAt: ManualDeliveryClock().wallTime + .seconds(60))
        ),
        Refusal(
            testDescription: "no provider can carry it, and all of them have been asked, each once",
            failure: .sample(.permanent, .capability, .mail),
            asked: [1, 1, 1],
            state: .bounced
        ),
    ]

    @Test("goes through the whole chain when the provider that was asked first cannot carry it", arguments: refusals)
    func asksThoseBefore(_ row: Refusal) async throws {
        let cannot = Outcome.failed(.sample(.permanent, .capability, .mail))
        let outcomes = [row.failure.map(Outcome.failed) ?? .accepted, cannot, cannot]
        let providers = zip(["direct", "api", "gmail"], outcomes).map { name, outcome in
            ScriptedProvider(name) { _, recipient in recipient.mailbox.localPart == "a" ? outcome : .accepted }
        }
        let manager = self.fixture.manager(providers)
        let id = self.insert(1, inDoubtAt: "api", since: self.clock.wallTime)
        try await self.fixture.running(manager) {
            await self.store.wait { results in results.count >= row.asked.reduce(0, +) }
            #expect(self.fixture.states(id) == [row.state])
        }
        #expect(providers.map { $0.attempts.filter { $0 == ["a@x.test"] }.count } == row.asked)
        #expect(providers[1].attempts.first == ["a@x.test"])
    }
}
