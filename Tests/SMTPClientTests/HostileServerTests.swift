import MailModel
import SMTPClient
import SMTPProtocol
import TestKit
import Testing

@Suite("Servers that mean no good")
struct HostileServerTests {
    private let fixture = ClientFixture()

    struct Trick: Sendable, CustomTestStringConvertible {
        var stage: FakeExchangerScript.Stage
        var fault: FakeExchangerScript.Fault

        var testDescription: String {
            "\(self.stage): \(self.fault)"
        }

        /// Each fault at each stage.
        static func all(_ faults: FakeExchangerScript.Fault...) -> [Trick] {
            let stages: [FakeExchangerScript.Stage] = [.greeting, .ehlo, .mail, .rcpt, .data, .content]
            return faults.flatMap { fault in stages.map { Trick(stage: $0, fault: fault) } }
        }
    }

    /// What a message meets; only the stage of the trick has little time.
    private func failure(_ trick: Trick) async throws -> ClientFailure? {
        var script = FakeExchangerScript()
        script.extensions = []
        script.always[trick.stage] = trick.fault
        return try await FakeExchanger.run(script) { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            let brief = Duration.milliseconds(300)
            switch trick.stage {
            case .greeting: hop.timeouts.greeting = brief
            case .ehlo: hop.timeouts.ehlo = brief
            case .mail: hop.timeouts.mail = brief
            case .rcpt: hop.timeouts.rcpt = brief
            case .data: hop.timeouts.data = brief
            case .content: hop.timeouts.commit = brief
            case .startTLS, .auth, .reset: break
            }
            return await self.fixture.deliver(over: hop).results.first?.failure
        }
    }

    @Test(
        "an endless line, an endless reply and garbage end the connection, at whatever stage",
        .timeLimit(.minutes(1)),
        arguments: Trick.all(.endlessLine, .endlessReply, .garbage)
    )
    func bounded(_ trick: Trick) async throws {
        let failure = try #require(try await self.failure(trick))
        guard case .protocolError = failure.cause else {
            Issue.record("\(failure)")
            return
        }
        #expect(failure.mayHaveBeenAccepted == (trick.stage == .content))
    }

    @Test(
        "a server that feeds octets drop by drop has no more time than a silent one, at whatever stage",
        .timeLimit(.minutes(1)),
        arguments: Trick.all(.drip, .hang)
    )
    func drips(_ trick: Trick) async throws {
        let failure = try #require(try await self.failure(trick))
        #expect(failure.cause == .timeout)
        #expect(failure.mayHaveBeenAccepted == (trick.stage == .content))
    }

    @Test(
        "replies to what was not asked yet are not believed",
        .timeLimit(.minutes(1)),
        arguments: [
            Trick(stage: .greeting, fault: .reply("220 hello\r\n250 mx.example.test")),
            Trick(stage: .greeting, fault: .reply("220 hello\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 queued")),
            Trick(stage: .mail, fault: .reply("250 ok\r\n250 ok")),
            Trick(stage: .rcpt, fault: .reply("250 ok\r\n354 go\r\n250 queued")),
            Trick(stage: .data, fault: .reply("354 go\r\n250 queued")),
        ]
    )
    func speaksEarly(_ trick: Trick) async throws {
        let failure = try #require(try await self.failure(trick))
        guard case .protocolError = failure.cause else {
            Issue.record("\(failure)")
            return
        }
        #expect(!failure.mayHaveBeenAccepted)
    }

    @Test(
        "what is no reply is not taken for one",
        .timeLimit(.minutes(1)),
        arguments: ["199 x", "600 x", "999 x", "2 50 x", "25", "250x", "-250 x", "250-x\r\n251 y", "٢٥٠ x"]
    )
    func notAReply(_ line: String) async throws {
        let failure = try #require(try await self.failure(Trick(stage: .mail, fault: .reply(line))))
        guard case .protocolError = failure.cause else {
            Issue.record("\(failure)")
            return
        }
    }
}
