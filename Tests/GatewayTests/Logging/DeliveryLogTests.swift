import Delivery
import MailModel
import TestKit
import Testing

@testable import Gateway

@Suite("Delivery lines")
struct DeliveryLogTests {
    private let recipients = [SampleQueue.recipient(0), SampleQueue.recipient(1)]

    @Test("a delivered recipient: the fields in Postfix's order, with the parts of the delay")
    func writesSent() throws {
        var result = SampleQueue.delivered(SampleQueue.start(0, of: 1))
        result.finishedAt = SampleQueue.moment + .milliseconds(1_000)
        result.report.evidence.timings = [
            .init(stage: .resolve, milliseconds: 20), .init(stage: .connect, milliseconds: 40),
            .init(stage: .tls, milliseconds: 60), .init(stage: .greeting, milliseconds: 80),
            .init(stage: .ehlo, milliseconds: 10), .init(stage: .auth, milliseconds: 30),
            .init(stage: .mail, milliseconds: 50), .init(stage: .rcpt, milliseconds: 50),
            .init(stage: .data, milliseconds: 100), .init(stage: .commit, milliseconds: 310),
        ]
        let expected =
            "\(SampleQueue.id(1)): to=<User0@example.net>, relay=smtp.gmail.com[192.0.2.1]:587, provider=gmail, "
            + "delay=1, delays=0/0.25/0.24/0.51, dsn=2.0.0, status=sent (250 2.0.0 OK gsmtp)"
        #expect(try self.lines(result) == [expected])
    }

    @Test("a deferred recipient without a next hop: relay=none, and a 4.y.z whatever the failure said")
    func writesDeferred() throws {
        let state = RecipientUpdate.State.waiting(dueAt: SampleQueue.moment + .seconds(60))
        var result = SampleQueue.failed(SampleQueue.start(0, of: 1), state: state)
        result.finishedAt = SampleQueue.moment + .milliseconds(30_500)
        let expected =
            "\(SampleQueue.id(1)): to=<User0@example.net>, relay=none, provider=gmail, "
            + "delay=31, delays=0/31/0/0, dsn=4.4.3, status=deferred (no DNS source could answer)"
        #expect(try self.lines(result) == [expected])
    }

    @Test("a bounced recipient: dsn=5.y.z and the words of the next hop, and the report is named")
    func writesBounced() throws {
        var result = self.refused(state: .bounced, status: EnhancedStatusCode(4, 1, 1))
        result.bounce = SampleQueue.new(9)
        let expected =
            "\(SampleQueue.id(1)): to=<User0@example.net>, relay=mx.example.net[2001:db8::1]:25, provider=gmail, "
            + "delay=2.5, delays=0/2.5/0/0, dsn=5.1.1, status=bounced (550 5.1.1 no such user)"
        let lines = try self.lines(result)
        #expect(lines == [expected, "\(SampleQueue.id(1)): sender non-delivery notification: \(SampleQueue.id(9))"])
    }

    struct Ending: Sendable, CustomTestStringConvertible {
        let state: RecipientUpdate.State
        let words: String
        var testDescription: String { self.words }
    }

    static let endings = [
        Ending(state: .expired, words: "dsn=5.4.7, status=expired (550 5.1.1 no such user)"),
        Ending(state: .held, words: "dsn=5.1.1, status=hold (550 5.1.1 no such user)"),
        Ending(state: .active, words: "dsn=4.1.1, status=deferred (550 5.1.1 no such user)"),
    ]

    @Test("what else may become of a failure has its word", arguments: endings)
    func writesEveryEnding(_ ending: Ending) throws {
        let line = try #require(
            try self.lines(self.refused(state: ending.state, status: EnhancedStatusCode(5, 1, 1))).first
        )
        #expect(line.hasSuffix(", " + ending.words))
    }

    @Test("each recipient of an attempt has its line, with its own outcome")
    func writesEachRecipient() throws {
        var result = self.refused(state: .bounced, status: EnhancedStatusCode(5, 1, 1))
        let acceptance = Acceptance(reply: Reply(250, nil, "ok\u{9}without a code"))
        result.report.outcomes[1] = .delivered(acceptance)
        result.updates.append(
            RecipientUpdate(recipient: 1, state: .delivered(provider: "gmail"), progress: .init(attempts: 1))
        )
        let lines = try self.lines(result)
        #expect(lines.map { $0.contains("to=<User0@example.net>") } == [true, false])
        #expect(lines.last?.hasSuffix("dsn=2.0.0, status=sent (250 ok\\u{9}without a code)") == true)
    }

    @Test(
        "seconds are written with two significant decimals at most",
        arguments: [
            (-3, "0"), (0, "0"), (4, "0"), (5, "0.01"), (14, "0.01"), (15, "0.02"), (94, "0.09"), (95, "0.1"),
            (100, "0.1"), (254, "0.25"), (990, "0.99"), (994, "0.99"), (995, "1"), (999, "1"), (1_000, "1"),
            (1_049, "1"), (1_050, "1.1"), (9_949, "9.9"), (9_950, "10"), (10_499, "10"), (10_500, "11"),
            (86_400_000, "86400"),
        ]
    )
    func writesSeconds(_ milliseconds: Int64, _ expected: String) {
        var text = TextOctets(capacity: 8)
        DeliveryLog.write(seconds: milliseconds, to: &text)
        #expect(text.text == expected)
    }

    @Test("a move, an open and a closed breaker each have a line with the reason")
    func writesMoves() throws {
        let failure = Failure(
            .transient,
            .destination,
            .resolve,
            status: EnhancedStatusCode(4, 4, 3),
            text: "no DNS source could answer",
            reason: .dnsUnavailable
        )
        let state = BreakerState(
            openUntil: nil,
            openedAt: SampleQueue.moment,
            openings: 1,
            reason: .authenticationFailed,
            text: "535 5.7.8 bad"
        )
        let text = try LogCapture.text(isJSON: false) { logger in
            let log = DeliveryLog(logger: logger)
            log.movedOn(SampleQueue.id(1), from: "direct", to: "gmail", because: failure)
            log.movedOn(SampleQueue.id(1), from: "gmail", to: nil, because: failure)
            log.breakerOpened(BreakerKey(provider: "gmail", part: .senderDomain("example.org")), state)
            log.breakerClosed(BreakerKey(provider: "gmail"))
        }
        let lines = text.split(separator: "\n").map { $0.dropFirst(25) }
        let id = SampleQueue.id(1)
        let expected = [
            "notice test: \(id): left direct for gmail part=delivery reason=dns-unavailable why=\"no DNS source could answer\"",
            "notice test: \(id): left gmail for nobody part=delivery reason=dns-unavailable why=\"no DNS source could answer\"",
            "warning test: gmail from example.org is not used until something changes part=delivery "
                + "reason=\(Failure.Reason.authenticationFailed.rawValue) why=\"535 5.7.8 bad\"",
            "notice test: gmail works again; what waited for it goes now part=delivery",
        ]
        #expect(lines.map(String.init) == expected)
    }

    private func refused(state: RecipientUpdate.State, status: EnhancedStatusCode) -> AttemptResult {
        var result = SampleQueue.failed(SampleQueue.start(0, of: 1), state: state)
        let failure = Failure(
            .permanent,
            .recipient,
            .rcpt,
            status: status,
            text: "550 5.1.1 no such user",
            reason: .recipientRefused
        )
        result.report = AttemptReport(
            outcomes: [0: .failed(failure)],
            evidence: AttemptEvidence(remoteHost: "mx.example.net", remoteAddress: "[2001:db8::1]:25")
        )
        result.finishedAt = SampleQueue.moment + .milliseconds(2_500)
        return result
    }

    /// The lines that the end of an attempt brings, from the queue id on.
    private func lines(_ result: AttemptResult) throws -> [String] {
        let text = try LogCapture.text(isJSON: false) { logger in
            DeliveryLog(logger: logger).attemptEnded(result, of: SampleQueue.message(1), recipients: self.recipients)
        }
        return text.split(separator: "\n").map { line in
            #expect(line.hasSuffix(" part=delivery"))
            return String(line.dropFirst("2026-11-24T10:17:03.000Z info test: ".count).dropLast(" part=delivery".count))
        }
    }
}
