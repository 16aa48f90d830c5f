import Delivery
import Foundation
import MailModel
import NIOCore
import NIOPosix
import SMTPClient
import SMTPProtocol
import TestKit
import Testing

struct SMTPClientTests {
    private let fixture = ClientFixture()

    @Test("a message arrives octet for octet, in one write for the envelope and one for the content")
    func delivers() async throws {
        try await FakeExchanger.run { exchanger in
            let report = await self.fixture.deliver(over: self.fixture.hop(to: exchanger))
            #expect(report.results == [.accepted(Reply(250, .init(2, 0, 0), "queued as FAKE1"))])
            let record = exchanger.record
            #expect(record.messages.map(\.content) == [SampleMail.text])
            #expect(String(decoding: record.messages[0].raw, as: UTF8.self).contains("\r\n..dots\r\n"))
            #expect(record.reads.count == 3, "EHLO, the envelope, the content")
            #expect(record.messages[0].mail == "MAIL FROM:<noreply@app.example> SIZE=\(SampleMail.text.utf8.count)")
            #expect(self.fixture.commits.value == 1)
            #expect(report.timings.map(\.stage) == [.connect, .greeting, .ehlo, .mail, .rcpt, .data, .commit])
        }
    }

    @Test("a kept connection carries the next message, until its limit")
    func reuses() async throws {
        try await FakeExchanger.run { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            hop.limits.messagesPerConnection = 2
            let reports = [
                await self.fixture.deliver(over: hop), await self.fixture.deliver(over: hop),
                await self.fixture.deliver(over: hop),
            ]
            #expect(reports.map(\.reused) == [false, true, false])
            #expect(exchanger.record.connections == 2)
            #expect(exchanger.record.messages.count == 3)
        }
    }

    @Test("a kept connection that the server has closed is replaced without anybody noticing")
    func stale() async throws {
        var script = FakeExchangerScript()
        script.closesAfterMessage = true
        try await FakeExchanger.run(script) { exchanger in
            for _ in 0..<5 {
                let report = await self.fixture.deliver(over: self.fixture.hop(to: exchanger))
                #expect(report.results.areAccepted)
            }
            #expect(exchanger.record.messages.count == 5)
            #expect(exchanger.record.connections == 5)
        }
    }

    @Test("a kept connection whose idle time is over is no longer counted as one")
    func forgotten() async throws {
        try await FakeExchanger.run { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            hop.limits.idle = .nanoseconds(1)
            #expect(await self.fixture.deliver(over: hop).results.areAccepted)
            let port = exchanger.port
            try await eventually { !self.fixture.client.hasIdleConnection(to: hop.host, port: port) }
        }
    }

    @Test("without PIPELINING the same message arrives command by command")
    func stepByStep() async throws {
        var script = FakeExchangerScript()
        script.extensions = []
        try await FakeExchanger.run(script) { exchanger in
            let report = await self.fixture.deliver(over: self.fixture.hop(to: exchanger))
            #expect(report.results.areAccepted)
            #expect(exchanger.record.reads.count == 5)
            #expect(exchanger.record.messages.map(\.content) == [SampleMail.text])
        }
    }

    @Test("content is streamed from a file with its dots stuffed", arguments: [0, 1, 131_072, 131_073, 1_000_003])
    func streams(_ size: Int) async throws {
        let text = String(String(repeating: ".line\r\n", count: size / 7 + 1).prefix(size))
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("content-\(UUID().uuidString)")
        try Data(text.utf8).write(to: url)
        defer {
            try? FileManager.default.removeItem(at: url)
        }
        try await FakeExchanger.run { exchanger in
            let size = text.utf8.count
            let content = MessageContent(size: size, isEightBit: false, storage: .file(path: url.path))
            let report = await self.fixture.deliver(over: self.fixture.hop(to: exchanger), content: content)
            #expect(report.results.areAccepted)
            let received = exchanger.record.messages[0].content
            #expect(received.hasPrefix(text) && received.utf8.count <= size + 2)

            let longer = MessageContent(size: size + 1, isEightBit: false, storage: .file(path: url.path))
            let short = await self.fixture.deliver(over: self.fixture.hop(to: exchanger), content: longer)
            guard case .local? = short.results[0].failure?.cause else {
                Issue.record("a file that is shorter than it should be must not be sent: \(short.results)")
                return
            }
            #expect(exchanger.record.messages.count == 1)
        }
    }

    struct Break: Sendable, CustomTestStringConvertible {
        var stage: FakeExchangerScript.Stage
        var fault: FakeExchangerScript.Fault
        var seenAt: ClientStage
        var isAmbiguous = false
        var testDescription: String {
            "\(self.fault) at \(self.stage)"
        }
    }

    @Test(
        "every way a server can fail is named by its stage, and only the final dot leaves a doubt",
        arguments: [
            Break(stage: .greeting, fault: .drop, seenAt: .greeting),
            Break(stage: .greeting, fault: .hang, seenAt: .greeting),
            Break(stage: .greeting, fault: .endlessLine, seenAt: .greeting),
            Break(stage: .greeting, fault: .reply("554 5.7.1 go away"), seenAt: .greeting),
            Break(stage: .greeting, fault: .reply("SSH-2.0-OpenSSH"), seenAt: .greeting),
            Break(stage: .ehlo, fault: .reply("421 4.3.2 busy"), seenAt: .ehlo),
            Break(stage: .ehlo, fault: .drop, seenAt: .ehlo),
            Break(stage: .mail, fault: .reply("451 4.3.0 later"), seenAt: .mail),
            Break(stage: .mail, fault: .drop, seenAt: .mail),
            Break(stage: .mail, fault: .endlessLine, seenAt: .mail),
            Break(stage: .rcpt, fault: .reply("550 5.1.1 nobody"), seenAt: .rcpt),
            Break(stage: .rcpt, fault: .hang, seenAt: .rcpt),
            Break(stage: .data, fault: .reply("451 4.3.0 disk"), seenAt: .data),
            Break(stage: .data, fault: .drop, seenAt: .data),
            Break(stage: .content, fault: .reply("554 5.6.0 spam"), seenAt: .commit),
            Break(stage: .content, fault: .drop, seenAt: .commit, isAmbiguous: true),
            Break(stage: .content, fault: .hang, seenAt: .commit, isAmbiguous: true),
        ]
    )
    func faults(_ row: Break) async throws {
        var script = FakeExchangerScript()
        script.always[row.stage] = row.fault
        try await FakeExchanger.run(script) { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            if row.fault == .hang {
                // Only the stage under test is impatient: on a busy machine an earlier one may take its time.
                switch row.stage {
                case .greeting: hop.timeouts.greeting = .milliseconds(100)
                case .rcpt: hop.timeouts.rcpt = .milliseconds(100)
                case .content: hop.timeouts.commit = .milliseconds(100)
                case .ehlo, .startTLS, .auth, .mail, .data, .reset: Issue.record("no row hangs there")
                }
            }
            let failure = await self.fixture.deliver(over: hop).results.first?.failure
            #expect(failure?.stage == row.seenAt)
            #expect(failure?.mayHaveBeenAccepted == row.isAmbiguous)
            #expect(self.fixture.commits.value == (row.stage == .content ? 1 : 0))
        }
    }

    @Test("a server that refuses and closes in one breath is heard, each time")
    func lastWord() async throws {
        var script = FakeExchangerScript()
        script.always[.greeting] = .lastWord("554 5.7.1 go away")
        try await FakeExchanger.run(script) { exchanger in
            let hop = self.fixture.hop(to: exchanger)
            for _ in 0..<100 {
                let failures = await withTaskGroup(of: ClientFailure?.self) { group in
                    for _ in 0..<4 {
                        group.addTask { await self.fixture.deliver(over: hop).results.first?.failure }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                let refusal = ClientFailure(.greeting, .reply(Reply(554, .init(5, 7, 1), "go away")))
                try #require(failures.allSatisfy { $0 == refusal }, "\(failures)")
            }
        }
    }

    @Test("an attempt that is cancelled before it begins ends, on a new connection and on a kept one")
    func cancelledBefore() async throws {
        try await FakeExchanger.run { exchanger in
            let hop = self.fixture.hop(to: exchanger)
            for isKept in [false, true] {
                if isKept {
                    #expect(await self.fixture.deliver(over: hop).results.areAccepted)
                }
                let task = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    return await self.fixture.deliver(over: hop)
                }
                #expect(await task.value.results.areAccepted == false)
            }
            #expect(exchanger.record.messages.count == 1)
        }
    }

    @Test("the deadline of the attempt ends a wait that its stage would allow")
    func deadline() async throws {
        var script = FakeExchangerScript()
        script.always[.mail] = .hang
        try await FakeExchanger.run(script) { exchanger in
            let hop = self.fixture.hop(to: exchanger)
            let report = await self.fixture.deliver(over: hop, within: .milliseconds(200))
            #expect(report.results.first?.failure?.cause == .timeout)
        }
    }

    @Test(
        "recipients over the limit of a transaction go in the next one, those told 452 or 552 too (RFC 5321 §4.5.3.1.10)",
        arguments: [
            "452 4.5.3 too many recipients", "452 too many recipients", "552 too many recipients", "552 5.5.3 too many",
            "550 5.5.3 too many",
        ]
    )
    func splits(_ reply: String) async throws {
        var script = FakeExchangerScript()
        script.maximumRecipients = 2
        script.tooManyRecipients = reply
        try await FakeExchanger.run(script) { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            hop.limits.recipientsPerTransaction = 3
            let addresses = (0..<7).map { "user\($0)@example.com" }
            let report = await self.fixture.deliver(to: addresses, over: hop)
            #expect(report.results.areAccepted)
            #expect(report.results.count == 7)
            let sent = exchanger.record.messages.flatMap(\.recipients)
            #expect(sent.count == 7 && Set(sent).count == 7)
            #expect(exchanger.record.connections == 1)
            #expect(self.fixture.commits.value == 1)
        }
    }

    @Test("no more connections are open than the hop allows, and who waits is served")
    func limit() async throws {
        try await FakeExchanger.run { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            hop.limits.connections = 2
            let limited = hop
            let accepted = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        await self.fixture.deliver(over: limited).results.areAccepted
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(accepted == 20)
            #expect(exchanger.record.connections <= 2)
        }
    }

    @Test("a refused address is left for the next one, and is on record")
    func severalAddresses() async throws {
        try await FakeExchanger.run { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            // Nothing listens on this loopback address, so that it refuses at once.
            hop.addresses = [.v4(0x7F00_0909), .v4(0x7F00_0001)]
            let report = await self.fixture.deliver(over: hop)
            #expect(report.results.areAccepted)
            #expect(report.abandoned.map(\.description) == ["mx.example.test[127.0.9.9]:\(exchanger.port): refused"])
        }
    }

    @Test("a sender or recipient with a line end never reaches the wire")
    func injection() async throws {
        try await FakeExchanger.run { exchanger in
            let evil = "x>\r\nRCPT TO:<victim@example.com"
            let report = await self.fixture.deliver(
                to: ["\(evil)@example.com", "good@example.com"],
                over: self.fixture.hop(to: exchanger)
            )
            #expect(report.results.map(\.isAccepted) == [false, true])
            #expect(!exchanger.record.commands.contains { $0.contains("victim") })
        }
    }
}
