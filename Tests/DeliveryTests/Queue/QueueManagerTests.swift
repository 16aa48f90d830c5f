import Delivery
import MailModel
import TestKit
import Testing

import struct NIOCore.ByteBuffer

@Suite("The queue manager")
struct QueueManagerTests {
    private let clock = ManualDeliveryClock()
    private let store = MemoryStore()

    private func manager(_ providers: [any Provider], onAmbiguous: StrategyChain.OnAmbiguous = .resend) -> QueueManager
    {
        QueueManager(
            configuration: .init(concurrency: 4),
            chain: StrategyChain(
                providers: providers.map(\.name),
                fallbackAfter: .seconds(120),
                onAmbiguous: onAmbiguous
            ),
            providers: providers,
            schedule: RetrySchedule(firstDelay: .seconds(30)),
            breakers: BreakerBoard(policy: .init(firstDelay: .seconds(10))),
            store: self.store,
            clock: self.clock,
            events: SilentEvents(),
            composeBounce: { message, failed, _ in .report(on: message, failed) }
        )
    }

    /// Runs the manager while the body acts, and then stops it.
    private func running(_ manager: QueueManager, _ body: () async throws -> Void) async throws {
        async let run: Void = manager.run()
        try await body()
        manager.stop()
        try await run
    }

    private func submit(_ number: Int64, to recipients: [String], _ manager: QueueManager) -> QueueID {
        let message = QueuedMessage.sample(number, arrivedAt: self.clock.wallTime)
        let recipients = recipients.enumerated().map { Recipient(number: $0, forwardPath: .sample($1)) }
        let plan = manager.plan(message, recipients)
        let new = NewMessage(
            message: message,
            recipients: recipients,
            submission: SubmissionRecord(listener: "test"),
            firstAttempts: plan.firstAttempts,
            dueAt: self.clock.wallTime
        )
        self.store.enqueue(new) { _ in manager.take(plan) }
        return message.id
    }

    private func states(_ id: QueueID) -> [RecipientUpdate.State] {
        self.store.entries(of: id).map(\.state)
    }

    @Test("a fresh message goes to the first provider, without a commit of its own before the commit stage")
    func deliversFreshMail() async throws {
        let direct = ScriptedProvider(accepting: "direct", grouping: .byDomain)
        let manager = self.manager([direct])
        try await self.running(manager) {
            let id = self.submit(1, to: ["a@x.test", "b@y.test", "c@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            #expect(self.states(id) == Array(repeating: .delivered(provider: "direct"), count: 3))
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
        let manager = self.manager([direct, gmail])
        try await self.running(manager) {
            let id = self.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            #expect(self.states(id) == [.delivered(provider: "gmail")])
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
        let manager = self.manager([direct, gmail])
        try await self.running(manager) {
            let id = self.submit(1, to: ["ok@x.test", "gone@x.test", "later@x.test"], manager)
            await self.store.wait { $0.count >= 3 }
            #expect(self.states(id) == [.delivered(provider: "direct"), .bounced, .delivered(provider: "gmail")])
        }
        #expect(gmail.attempts.contains(["later@x.test"]))
        #expect(!gmail.attempts.joined().contains("ok@x.test"))
        #expect(gmail.attempts.joined().contains("sender@app.test"), "the report about gone@x.test")
    }

    @Test("greylisting is waited out at the same provider, then left after fallback-after")
    func waitsThenFallsBack() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.transient, .recipient)) }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.manager([direct, gmail])
        try await self.running(manager) {
            let id = self.submit(1, to: ["a@x.test"], manager)
            for attempt in 1...3 {
                await self.store.wait { $0.count == attempt }
                #expect(self.states(id).first != .delivered(provider: "gmail"))
                self.clock.advance(by: .seconds(120))
                manager.lookAgain()
                if attempt == 1 {
                    await self.store.wait { $0.count > 2 }
                    break
                }
            }
            #expect(self.states(id) == [.delivered(provider: "gmail")])
        }
        #expect(direct.attempts.count == 2)
    }

    @Test("an open breaker is passed over without an attempt")
    func passesOverOpenBreakers() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.permanent, .provider, .auth)) }
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.manager([direct, gmail])
        try await self.running(manager) {
            _ = self.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            _ = self.submit(2, to: ["b@x.test"], manager)
            await self.store.wait { $0.count == 3 }
        }
        #expect(direct.attempts.count == 1)
        #expect(gmail.attempts == [["a@x.test"], ["b@x.test"]])
        #expect(try await self.store.breakers().keys.map(\.description) == ["direct"])
    }

    @Test("a chain exhausted with nothing but capability failures bounces at once")
    func bouncesWhenNobodyCanCarryIt() async throws {
        let providers = ["direct", "gmail"].map { name in
            ScriptedProvider(name) { _, recipient in
                recipient.mailbox.localPart == "sender" ? .accepted : .failed(.sample(.permanent, .capability, .mail))
            }
        }
        let manager = self.manager(providers)
        try await self.running(manager) {
            let id = self.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 3 }
            #expect(self.states(id) == [.bounced])
        }
    }

    @Test("a chain exhausted with something transient in it waits for the next round")
    func waitsWhenSomethingWasTransient() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.transient, .destination, .connect)) }
        let gmail = ScriptedProvider("gmail") { _, _ in .failed(.sample(.permanent, .capability, .mail)) }
        let manager = self.manager([direct, gmail])
        try await self.running(manager) {
            let id = self.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 2 }
            #expect(self.states(id) == [.waiting(dueAt: self.clock.wallTime + .seconds(30))])
        }
    }

    @Test("a message that could not be delivered in time expires with a report")
    func expires() async throws {
        let direct = ScriptedProvider("direct") { _, recipient in
            recipient.mailbox.localPart == "sender" ? .accepted : .failed(.sample(.transient, .recipient))
        }
        let manager = self.manager([direct])
        let message = QueuedMessage.sample(1, arrivedAt: self.clock.wallTime)
        self.store.insert(message, [Recipient(number: 0, forwardPath: .sample("a@x.test"))], dueAt: message.expiresAt)
        self.clock.advance(by: message.expiresAt - self.clock.wallTime)
        try await self.running(manager) {
            await self.store.wait { $0.count == 2 }
            #expect(self.states(message.id) == [.expired])
        }
        #expect(direct.attempts == [["a@x.test"], ["sender@app.test"]])
    }

    @Test("a message from the null reverse-path never causes a report")
    func neverBouncesABounce() async throws {
        let direct = ScriptedProvider("direct") { _, _ in .failed(.sample(.permanent, .recipient)) }
        let manager = self.manager([direct])
        let message = QueuedMessage.sample(1, from: .null, arrivedAt: self.clock.wallTime)
        self.store.insert(message, [Recipient(number: 0, forwardPath: .sample("a@x.test"))], dueAt: message.arrivedAt)
        try await self.running(manager) {
            await self.store.wait { $0.count == 1 }
        }
        #expect(self.store.results.first?.bounce == nil)
        #expect(direct.attempts.count == 1)
    }

    @Test("after a crash the provider that may already have the message is asked first")
    func asksTheInterruptedProviderFirst() async throws {
        let direct = ScriptedProvider(accepting: "direct")
        let gmail = ScriptedProvider(accepting: "gmail")
        let manager = self.manager([direct, gmail])
        let message = QueuedMessage.sample(1, arrivedAt: self.clock.wallTime)
        let recipient = Recipient(number: 0, forwardPath: .sample("a@x.test"))
        self.store.insert(message, [recipient], dueAt: message.arrivedAt, interruptedAt: "gmail")
        try await self.running(manager) {
            await self.store.wait { $0.count == 1 }
        }
        #expect(gmail.attempts == [["a@x.test"]])
        #expect(direct.attempts.isEmpty)
    }

    @Test("after a crash with on-ambiguous hold, what may have been accepted is kept for a person")
    func holdsTheInterrupted() async throws {
        let direct = ScriptedProvider(accepting: "direct")
        let manager = self.manager([direct], onAmbiguous: .hold)
        let message = QueuedMessage.sample(1, arrivedAt: self.clock.wallTime)
        let recipient = Recipient(number: 0, forwardPath: .sample("a@x.test"))
        self.store.insert(message, [recipient], dueAt: message.arrivedAt, interruptedAt: "direct")
        try await self.running(manager) {
            await self.store.wait { $0.count == 1 }
            #expect(self.states(message.id) == [.held])
        }
        #expect(direct.attempts.isEmpty)
    }

    @Test("what was planned but never begun when the gateway stops is given back as due, without a doubt about it")
    func parksWhatNeverBegan() async throws {
        let manager = self.manager([ScriptedProvider(accepting: "direct")])
        let id = self.submit(1, to: ["a@x.test"], manager)
        manager.stop()
        try await manager.run()
        #expect(self.states(id) == [.waiting(dueAt: self.clock.wallTime)])
        #expect(self.store.results.map(\.move) == ["not begun: the gateway was stopping"])
    }

    @Test("when a breaker closes, what waited goes at once")
    func releasesWhatWaited() async throws {
        let direct = ScriptedProvider("direct") { attempt, _ in
            attempt == 1 ? .failed(.sample(.transient, .provider, .connect)) : .accepted
        }
        let manager = self.manager([direct])
        try await self.running(manager) {
            let first = self.submit(1, to: ["a@x.test"], manager)
            await self.store.wait { $0.count == 1 }
            self.clock.advance(by: .seconds(10))
            _ = self.submit(2, to: ["b@x.test"], manager)
            await self.store.wait { $0.count == 3 }
            #expect(self.states(first) == [.delivered(provider: "direct")])
        }
    }
}

private struct SilentEvents: DeliveryEvents {
    func attemptEnded(_ result: AttemptResult, of message: QueuedMessage, recipients: [Recipient]) {}
    func movedOn(_ id: QueueID, from: String, to: String?, because failure: Failure) {}
    func breakerOpened(_ key: BreakerKey, _ state: BreakerState) {}
    func breakerClosed(_ key: BreakerKey) {}
    func finished(_ id: QueueID) {}
    func storeTrouble(_ failure: StoreFailure) {}
}

extension ForwardPath {
    fileprivate static func sample(_ address: String) -> ForwardPath {
        let parts = address.split(separator: "@").map(String.init)
        return ForwardPath(mailbox: Mailbox(localPart: parts[0], domain: MailDomain(parts[1])))
    }
}

extension QueuedMessage {
    fileprivate static func sample(
        _ number: Int64,
        from reversePath: ReversePath = .mailbox(ForwardPath.sample("sender@app.test").mailbox),
        arrivedAt: Timestamp
    ) -> QueuedMessage {
        let content = ByteBuffer(string: "Subject: x\r\n\r\nx\r\n")
        return QueuedMessage(
            id: QueueID(number: number),
            reversePath: reversePath,
            parameters: .init(),
            arrivedAt: arrivedAt,
            expiresAt: arrivedAt + .seconds(4 * 86_400),
            messageID: "<\(number)@app.test>",
            subject: "x",
            content: MessageContent(size: content.readableBytes, isEightBit: false, storage: .memory(content))
        )
    }
}

extension NewMessage {
    fileprivate static func report(
        on message: QueuedMessage,
        _ failed: [(recipient: Recipient, failure: Failure)]
    ) -> NewMessage? {
        guard let sender = message.reversePath.mailbox else {
            return nil
        }
        let report = QueuedMessage.sample(message.id.number + 1_000, from: .null, arrivedAt: message.arrivedAt)
        return NewMessage(
            message: report,
            recipients: [Recipient(number: 0, forwardPath: ForwardPath(mailbox: sender))],
            submission: SubmissionRecord(listener: "gateway"),
            firstAttempts: [],
            dueAt: message.arrivedAt
        )
    }
}
