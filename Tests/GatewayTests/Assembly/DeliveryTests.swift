import Delivery
import Gateway
import MailModel
import TestKit
import Testing

@Suite("The whole gateway delivers")
struct DeliveryTests {
    @Test("what the next hop gets is what was submitted, octet by octet, behind one Received field")
    func isByteExact() async throws {
        let header =
            "From: <app@example.test>\r\nDate: Tue, 24 Nov 2026 10:17:03 +0000\r\nMessage-ID: <1@app.example>\r\n"
        let long = String(repeating: "x", count: 2_500)
        let content =
            Array("\(header)Subject: =?utf-8?B?56K66KqN?=\r\nX-Odd:   two  spaces \r\n\r\n".utf8) + [
                0xE9, 0xFF, 0x20, 0x0D, 0x0A,
            ]
            + Array(".dot\r\n..dots\r\n\r\n\(long)\r\n.\u{20}\r\n".utf8)
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            try await folder.run("chain: [relay]\nproviders:\n" + relay("relay", exchanger)) { gateway in
                let id = try await gateway.accept(content, to: ["user@example.net"])
                let record = try await gateway.wait(for: id, .delivered)
                #expect(record.attempts.map(\.provider) == ["relay"])
                #expect(record.messageID == "<1@app.example>")
                #expect(record.submission.clientName == "app.example.test")
                let message = try #require(exchanger.record.messages.first)
                #expect(exchanger.record.messages.count == 1)
                #expect(message.mail.hasPrefix("MAIL FROM:<app@example.test>"))
                #expect(message.recipients.map { $0.hasPrefix("RCPT TO:<user@example.net>") } == [true])
                #expect(message.octetsBehindFirstField == content)
                let first = String(decoding: message.octets.prefix(250), as: UTF8.self)
                #expect(
                    first.hasPrefix("Received: from app.example.test ([127.0.0.1])\r\n\tby gw.example.test (Hikyaku)")
                )
                #expect(first.contains("with ESMTP id \(id)\r\n\tfor <user@example.net>; "))
            }
        }
    }

    @Test("content too large for memory arrives octet by octet, and its file is gone after delivery")
    func carriesLargeContent() async throws {
        let line = Array((0..<96).map { UInt8(0x20 + $0 % 95) }) + [0x0D, 0x0A]
        let body = (0..<8_000).flatMap { [UInt8(ascii: "."), UInt8(0x30 + $0 % 10)] + line }
        let content = Array("Date: Tue, 24 Nov 2026 10:17:03 +0000\r\nMessage-ID: <2@app.example>\r\n\r\n".utf8) + body
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            try await folder.run("chain: [relay]\nproviders:\n" + relay("relay", exchanger)) { gateway in
                let id = try await gateway.accept(content)
                _ = try await gateway.wait(for: id, .delivered)
                #expect(exchanger.record.messages.first?.octetsBehindFirstField == content)
                try await eventually("the content file is removed") { try folder.contentFiles().isEmpty }
            }
        }
    }

    @Test("a dead DNS costs one attempt: the next provider delivers at once, and both are on record")
    func fallsBackWhenDNSIsDead() async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            let text = "chain: [direct, relay]\nproviders:\n  direct: { kind: direct-mx }\n" + relay("relay", exchanger)
            try await folder.run(text + "retry: { first-delay: 1h, outage-delay: 1h }\n") { gateway in
                let id = try await gateway.accept()
                let record = try await gateway.wait(for: id, .delivered)
                #expect(record.attempts.map(\.provider) == ["direct", "relay"])
                let failed = try #require(record.attempts.first)
                #expect(failed.outcomes.map(\.stage) == [.resolve])
                #expect(failed.outcomes.map(\.status) == ["4.4.3"])
                #expect(failed.outcomes.map(\.scope) == [.destination])
                #expect(failed.evidence.resolution.contains { $0.contains("127.0.0.1:1") })
                #expect(failed.move.hasPrefix("moved on to relay: "))
                #expect(record.attempts.last?.outcomes.map(\.delivered) == [true])
                #expect(record.recipients.map(\.provider) == ["relay"])
                #expect(exchanger.record.messages.count == 1)
            }
        }
    }

    @Test("one of two recipients refused: the other gets one copy, and the sender one report about the refused one")
    func reportsTheRefusedRecipientAlone() async throws {
        var script = FakeExchangerScript()
        script.recipients = ["nobody@example.net": "550 5.1.1 no such user here"]
        try await FakeExchanger.run(script) { exchanger in
            let folder = try GatewayFolder()
            try await folder.run("chain: [relay]\nproviders:\n" + relay("relay", exchanger)) { gateway in
                let id = try await gateway.accept(to: ["user@example.net", "nobody@example.net"])
                let record = try await gateway.wait(for: id, .delivered, .bounced)
                #expect(record.recipients.last?.lastFailure?.contains("no such user here") == true)
                try await eventually("the report is delivered") { exchanger.record.messages.count == 2 }
                let report = try #require(exchanger.record.messages.last)
                #expect(report.mail.hasPrefix("MAIL FROM:<>"))
                #expect(report.recipients.map { $0.hasPrefix("RCPT TO:<app@example.test>") } == [true])
                #expect(report.content.contains("Content-Type: multipart/report; report-type=delivery-status"))
                #expect(report.content.contains("Final-Recipient: rfc822; nobody@example.net\r\n"))
                #expect(report.content.contains("Status: 5.1.1\r\n"))
                #expect(!report.content.contains("Final-Recipient: rfc822; user@example.net"))
                let reportID = try #require(try await folder.records().last?.id)
                let reported = try await gateway.wait(for: reportID, .delivered)
                #expect(reported.reversePath.isEmpty)
                #expect(reported.submission.listener == "gateway")
                let copies = exchanger.record.messages.filter { $0.recipients.contains { $0.contains("user@") } }
                #expect(copies.count == 1)
            }
        }
    }

    @Test("a report that is refused ends there: no report is made about a report")
    func neverReportsOnAReport() async throws {
        var script = FakeExchangerScript()
        script.recipients = ["nobody@example.net": "550 5.1.1 no", "app@example.test": "550 5.1.1 nor here"]
        try await FakeExchanger.run(script) { exchanger in
            let folder = try GatewayFolder()
            try await folder.run("chain: [relay]\nproviders:\n" + relay("relay", exchanger)) { gateway in
                _ = try await gateway.wait(for: try await gateway.accept(to: ["nobody@example.net"]), .bounced)
                try await eventually("the report has bounced") {
                    try await folder.records().map { $0.recipients.map(\.state) } == [[.bounced], [.bounced]]
                }
                // Something behind them in the queue, so that a third message would have had its time.
                _ = try await gateway.wait(for: try await gateway.accept(), .delivered)
                #expect(try await folder.records().count == 3)
            }
        }
    }
}
