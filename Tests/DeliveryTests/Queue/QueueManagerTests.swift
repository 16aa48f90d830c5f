import Delivery
import MailModel
import TestKit
import Testing

@Suite("The queue manager")
struct QueueManagerTests {
    private let fixture = QueueFixture()
    private var clock: ManualDeliveryClock { self.fixture.clock }
    private var store: MemoryStore { self.fixture.store }

    @Test("a fresh message goes to the first provider, without a commit of its own before the commit stage")
    func deliversFreshMail() async throws {
        let direct = ScriptedProvider(accepting: "direct", grouping: .byDomain)
        let manager = self.fixture.manager([direct])
        try await self.fixture.running(manager) {
            let id = self.fixture.submit(1, to: ["a@x.test", "b@y.test", "c@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            #expect(self.fixture.states(id) == Array(repeating: .delivered(provider: "direct"), count: 3))
        }
        #expect(Set(direct.attempts) == [["a@x.test", "c@x.test"], ["b@y.test"]])
        #expect(self.store.begun.isEmpty)
    }

    @Test("when DNS fails the next provider is asked at once, and the attempt there is committed first")
    func movesOnAtOnce() async throws {
        let direct = ScriptedProvider("direct", grouping: .byDomain) { _, _ in
            .failed(.sample(.transient, .destination, .resolve))
        }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager([direct, gmail])
        try await self.fixture.running(manager) {
            let id = self.fixture.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            #expect(self.fixture.states(id) == [.delivered(provider: "gmail")])
        }
        #expect(self.store.begun.map(\.provider) == ["gmail"])
        #expect(self.store.results.first?.move == "moved on to gmail: transient destination")
    }

    @Test("nobody who was accepted is sent a second copy because another recipient failed")
    func keepsPartialResults() async throws {
        let direct = ScriptedProvider("direct") { _, recipient in
            switch recipient.number {
            case 0: .accepted
            case 1: .failed(.sample(.permanent, .recipient))
            default: .failed(.sample(.transient, .provider))
            }
        }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager([direct, gmail])
        try await self.fixture.running(manager) {
            let id = self.fixture.submit(1, to: ["ok@x.test", "gone@x.test", "later@x.test"], manager)
            await self.store.wait { $0.count >= 3 }
            #expect(
                self.fixture.states(id) == [.delivered(provider: "direct"), .bounced, .delivered(provider: "gmail")]
            )
        }
        #expect(gmail.attempts.contains(["later@x.test"]))
        #expect(!gmail.attempts.joined().contains("ok@x.test"))
        #expect(gmail.attempts.joined().contains("sender@app.test"), "the report about gone@x.test")
    }

    @Test("greylisting is waited out at the same provider, then left after fallback-after")
    func waitsThenFallsBack() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.transient, .recipient)) }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager([direct, gmail])
        try await self.fixture.running(manager) {
            let id = self.fixture.submit(1, to: ["a@x.test"], manager)
            for attempt in 1...3 {
                await self.store.wait { $0.count == attempt }
                #expect(self.fixture.states(id).first != .delivered(provider: "gmail"))
                self.clock.advance(by: .seconds(120))
                manager.lookAgain()
                if attempt == 1 {
                    await self.store.wait { $0.count > 2 }
                    break
                }
            }
            #expect(self.fixture.states(id) == [.delivered(provider: "gmail")])
        }
        #expect(direct.attempts.count == 2)
    }

    @Test("an open breaker is passed over without an attempt")
    func passesOverOpenBreakers() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.permanent, .provider, .auth)) }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager([direct, gmail])
        try await self.fixture.running(manager) {
            _ = self.fixture.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            _ = self.fixture.submit(2, to: ["b@x.test"], manager)
            await self.store.wait { $0.count == 3 }
        }
        #expect(direct.attempts.count == 1)
        #expect(gmail.attempts == [["a@x.test"], ["b@x.test"]])
        #expect(try await self.store.breakers().keys.map(\.description) == ["direct"])
    }

    @Test(
        "of a provider that answers nothing the fourth message hears at once, whatever becomes of the first three",
        arguments: StrategyChain.OnAmbiguous.allCases
    )
    func leavesTheSilentAlone(_ onAmbiguous: StrategyChain.OnAmbiguous) async throws {
        let api = ScriptedProvider("api") { attempt, _ in
            attempt <= 3 ? .failed(.sample(.ambiguous, .provider, .commit)) : .accepted
        }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager([api, gmail], onAmbiguous: onAmbiguous)
        try await self.fixture.running(manager) {
            var ids: [QueueID] = []
            for number in 1...4 {
                ids.append(self.fixture.submit(Int64(number), to: ["\(number)@x.test"], manager))
                await self.store.wait { $0.count == number }
            }
            #expect(self.fixture.states(ids[3]) == [.delivered(provider: "gmail")])
            #expect(manager.openBreakers.keys.map(\.description) == ["api"])
            let waits = RecipientUpdate.State.waiting(dueAt: self.clock.wallTime + .seconds(60))
            for id in ids[..<3] {
                #expect(self.fixture.states(id) == [onAmbiguous == .hold ? .held : waits])
            }
            guard onAmbiguous == .resend else {
                return
            }
            self.clock.advance(by: .seconds(60))
            manager.lookAgain()
            await self.store.wait { $0.count == 7 }
            for id in ids[..<3] {
                #expect(self.fixture.states(id) == [.delivered(provider: "api")])
            }
            #expect(manager.openBreakers.isEmpty)
        }
    }

    @Test("a chain exhausted with nothing but capability failures bounces at once")
    func bouncesWhenNobodyCanCarryIt() async throws {
        let providers = ["direct", "gmail"].map { name in
            ScriptedProvider(name) { _, recipient in
                recipient.mailbox.localPart == "sender" ? .accepted : .failed(.sample(.permanent, .capability, .mail))
            }
        }
        let manager = self.fixture.manager(providers)
        try await self.fixture.running(manager) {
            let id = self.fixture.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 3 }
            #expect(self.fixture.states(id) == [.bounced])
        }
    }

    @Test("a chain exhausted with something transient in it waits for the next round")
    func waitsWhenSomethingWasTransient() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.transient, .destination, .connect)) }
        let gmail = ScriptedProvider("gmail") { _, _ in .failed(.sample(.permanent, .capability, .mail)) }
        let manager = self.fixture.manager([direct, gmail])
        try await self.fixture.running(manager) {
            let id = self.fixture.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            #expect(self.fixture.states(id) == [.waiting(dueAt: self.clock.wallTime + .seconds(30))])
        }
    }

    @Test("a message that could not be delivered in time expires with a report")
    func expires() async throws {
        let direct = ScriptedProvider("direct") { _, recipient in
            recipient.mailbox.localPart == "sender" ? .accepted : .failed(.sample(.transient, .recipient))
        }
        let manager = self.fixture.manager([direct])
        let message = QueuedMessage.sample(1, arrivedAt: self.clock.wallTime)
        self.store.insert(message, [Recipient(number: 0, forwardPath: .sample("a@x.test"))], dueAt: message.expiresAt)
        self.clock.advance(by: message.expiresAt - self.clock.wallTime)
        try await self.fixture.running(manager) {
            await self.store.wait { $0.count == 2 }
            #expect(self.fixture.states(message.id) == [.expired])
        }
        #expect(direct.attempts == [["a@x.test"], ["sender@app.test"]])
    }

    @Test("a message from the null reverse-path never causes a report")
    func neverBouncesABounce() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.permanent, .recipient)) }
        let manager = self.fixture.manager([direct])
        let message = QueuedMessage.sample(1, from: .null, arrivedAt: self.clock.wallTime)
        self.store.insert(message, [Recipient(number: 0, forwardPath: .sample("a@x.test"))], dueAt: message.arrivedAt)
        try await self.fixture.running(manager) {
            await self.store.wait { $0.count == 1 }
        }
        #expect(self.store.results.first?.bounce == nil)
        #expect(direct.attempts.count == 1)
    }

    @Test("after a crash the provider that may already have the message is asked first")
    func asksTheInterruptedProviderFirst() async throws {
        let direct = ScriptedProvider(accepting: "direct")
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.fixture.manager([direct, gmail])
        let message = QueuedMessage.sample(1, arrivedAt: self.clock.wallTime)
        let recipient = Recipient(number: 0, forwardPath: .sample("a@x.test"))
        self.store.insert(message, [recipient], dueAt: message.arrivedAt, interruptedAt: "gmail")
        try await self.fixture.running(manager) {
            await self.store.wait { $0.count == 1 }
        }
        #expect(gmail.attempts == [["a@x.test"]])
        #expect(direct.attempts.isEmpty)
    }

    @Test("after a crash with on-ambiguous hold, what may have been accepted is kept for a person")
    func holdsTheInterrupted() async throws {
        let direct = ScriptedProvider(accepting: "direct")
        let manager = self.fixture.manager([direct], onAmbiguous: .hold)
        let message = QueuedMessage.sample(1, arrivedAt: self.clock.wallTime)
        let recipient = Recipient(number: 0, forwardPath: .sample("a@x.test"))
        self.store.insert(message, [recipient], dueAt: message.arrivedAt, interruptedAt: "direct")
        try await self.fixture.running(manager) {
            await self.store.wait { $0.count == 1 }
            #expect(self.fixture.states(message.id) == [.held])
        }
        #expect(direct.attempts.isEmpty)
    }

    @Test("what was planned but never begun when the gateway stops is given back as due, without a doubt about it")
    func parksWhatNeverBegan() async throws {
        let manager = self.fixture.manager([ScriptedProvider(accepting: "direct")])
        let id = self.fixture.submit(1, to: ["a@x.test"], manager)
        manager.stop()
        try await manager.run()
        #expect(self.fixture.states(id) == [.waiting(dueAt: self.clock.wallTime)])
        #expect(self.store.results.map(\.move) == ["not begun: the gateway was stopping"])
    }

    @Test("when a breaker closes, what waited goes at once")
    func releasesWhatWaited() async throws {
        let direct = ScriptedProvider("direct") { attempt, _ in
            attempt == 1 ? .failed(.sample(.transient, .provider, .connect)) : .accepted
        }
        let manager = self.fixture.manager([direct])
        try await self.fixture.running(manager) {
            let first = self.fixture.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 1 }
            self.clock.advance(by: .seconds(10))
            _ = self.fixture.submit(2, to: ["b@x.test"], manager)
            await self.store.wait { $0.count == 3 }
            #expect(self.fixture.states(first) == [.delivered(provider: "direct")])
        }
    }

    @Test("what is given back to the store while its way opens goes at once, too")
    func releasesWhatIsGivenBack() async throws {
        let now = self.clock.wallTime
        let down = BreakerState(openUntil: now, openedAt: now, openings: 1, reason: .serviceUnavailable, text: "down")
        let manager = self.fixture.manager(
            [ScriptedProvider(accepting: "direct")],
            breakers: [BreakerKey(provider: "direct"): down]
        )
        (1...2).forEach { self.fixture.insertDue($0, to: ["a@x.test"]) }
        let store = self.store
        // The second one is refused beside the probe, and given back when that has been made.
        store.beforeRelease {
            store.beforeRelease(nil)
            try? await eventually { store.expediteCount > 0 }
        }
        try await self.fixture.running(manager) {
            try await eventually { store.results.count == 2 }
        }
    }

    @Test("one message whose content does not get through closes no way, however often; three different ones do")
    func contentThatSticks() async throws {
        let direct = ScriptedProvider("direct") { _, _ in
            .failed(.sample(.transient, .provider, .data, reason: .timeout))
        }
        let manager = self.fixture.manager([direct])
        try await self.fixture.running(manager) {
            let large = self.fixture.submit(1, to: ["large@x.test"], manager)
            for count in 1...5 {
                await self.store.wait { $0.count == count }
                #expect(manager.openBreakers.isEmpty)
                guard case .waiting(let dueAt) = self.fixture.states(large).first else {
                    Issue.record("it waits for the next round")
                    return
                }
                self.clock.advance(by: dueAt - self.clock.wallTime)
                manager.lookAgain()
            }
            await self.store.wait { $0.count == 6 }
            for number in 2...3 {
                #expect(manager.openBreakers.isEmpty)
                _ = self.fixture.submit(Int64(number), to: ["\(number)@x.test"], manager)
                await self.store.wait { $0.count == 5 + number }
            }
            #expect(manager.openBreakers.map(\.key.description) == ["direct"])
        }
    }

    @Test("on an operator's word one message tries a way that is left alone; when it succeeds, all that waited goes")
    func probesNow() async throws {
        let direct = ScriptedProvider("direct") { attempt, _ in
            attempt == 1 ? .failed(.sample(.transient, .provider, .connect)) : .accepted
        }
        let manager = self.fixture.manager([direct])
        try await self.fixture.running(manager) {
            var ids = [self.fixture.submit(1, to: ["1@x.test"], manager)]
            await self.store.wait { $0.count == 1 }
            ids += (2...3).map { self.fixture.submit(Int64($0), to: ["\($0)@x.test"], manager) }
            #expect(ids.allSatisfy { if case .waiting = self.fixture.states($0).first { true } else { false } })
            #expect(manager.probeNow().isEmpty)
            _ = try await self.store.expedite(.all, at: self.clock.wallTime)
            manager.lookAgain()
            try await eventually("all went, and no time has passed") {
                ids.allSatisfy { self.fixture.states($0) == [.delivered(provider: "direct")] }
            }
            #expect(manager.openBreakers.isEmpty)
        }
    }

    @Test("who waits beside somebody that moved on is tried in time")
    func wakesForWhoWaits() async throws {
        let direct = ScriptedProvider("direct") { attempt, recipient in
            switch (attempt, recipient.number) {
            case (1, 0): .failed(.sample(.transient, .recipient))
            case (1, 1): .failed(.sample(.permanent, .capability))
            default: .accepted
            }
        }
        let manager = self.fixture.manager([direct, ScriptedProvider(accepting: "gmail")])
        try await self.fixture.running(manager) {
            // Nobody looks into the store for a while.
            try await eventually { self.clock.sleeps(until: self.clock.now + .seconds(60)) }
            let id = self.fixture.submit(1, to: ["later@x.test", "large@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            self.clock.advance(by: .seconds(30))
            try await eventually {
                self.fixture.states(id) == [.delivered(provider: "direct"), .delivered(provider: "gmail")]
            }
        }
    }

    @Test("who must wait from the beginning is tried in time, too, when others of the message go at once")
    func wakesForWhoIsLeft() async throws {
        let until = self.clock.wallTime + .seconds(10)
        let open = BreakerState(openUntil: until, openedAt: until, openings: 1, reason: .timeout, text: "silent")
        let manager = self.fixture.manager(
            [ScriptedProvider(accepting: "direct", grouping: .byDomain)],
            breakers: [BreakerKey(provider: "direct", part: .destination("silent.test")): open]
        )
        try await self.fixture.running(manager) {
            try await eventually { self.clock.sleeps(until: self.clock.now + .seconds(60)) }
            let id = self.fixture.submit(1, to: ["a@good.test", "a@silent.test"], manager)
            await self.store.wait { $0.count == 1 }
            self.clock.advance(by: .seconds(10))
            try await eventually {
                self.fixture.states(id) == Array(repeating: .delivered(provider: "direct"), count: 2)
            }
        }
    }
}
