import Delivery
import Foundation
import Logging
import MailModel
import NIOCore
import NIOPosix
import SMTPClient
import SMTPProtocol
import TestKit
import Testing

/// Our SMTP client against a real Postfix as the next hop.
@Suite(.serialized, .enabled(if: getuid() == 0, "Postfix can only be started by root"))
struct RealMTATests {
    private let client = SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"))

    private func deliver(
        _ text: String,
        to recipients: [String],
        at server: PostfixServer,
        tls: TLSPolicy
    ) async -> TransferReport {
        let content = SampleMail.content(text)
        var hop = NextHop(
            host: "mx.example.test",
            port: server.port,
            addresses: [.v4(0x7F00_0001)],
            tls: tls,
            heloName: "gateway.example"
        )
        hop.trustRootsFile = server.authorityFile
        let mail = MailTransaction(
            reversePath: .mailbox(SampleMail.mailbox("noreply@app.example")),
            forwardPaths: SampleMail.recipients(recipients).map(\.forwardPath),
            size: content.size,
            isEightBit: content.isEightBit
        )
        return await self.client.deliver(mail, content: content, over: hop, until: .now + .seconds(60)) {}
    }

    private func text(_ subject: String, body: String) -> String {
        "From: noreply@app.example\r\nTo: anna@example.test\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
            + "Message-ID: <\(subject)@app.example>\r\nSubject: \(subject)\r\n\r\n\(body)"
    }

    @Test("Postfix takes mail in clear text, over opportunistic and over verified TLS, and keeps it unchanged")
    func delivers() async throws {
        try await PostfixServer.run { server in
            let body = "Grüße, こんにちは\r\n.\r\n..two\r\n\(String(repeating: "x", count: 990))\r\nend\r\n"
            let policies: [(TLSPolicy, String?)] = [
                (.none, nil), (.opportunistic, "TLSv1.3 unverified"),
                (.required(.startTLS, .verified), "TLSv1.3 verified"),
            ]
            for (number, (policy, tls)) in policies.enumerated() {
                let text = self.text("message-\(number)", body: body)
                let report = await self.deliver(text, to: ["anna@example.test"], at: server, tls: policy)
                #expect(report.results.map(\.isTaken) == [true], "\(report.results) \(server.log)")
                #expect(report.tls == tls)
                let arrived = try await server.messages(of: "anna", count: number + 1)
                let stored = text.replacing("\r\n", with: "\n")
                #expect(arrived.contains { $0.hasSuffix("\n" + stored) }, "\(arrived)")
            }
        }
    }

    @Test("a recipient whom Postfix does not know fails alone, in one transaction with the others")
    func unknownRecipient() async throws {
        try await PostfixServer.run { server in
            let report = await self.deliver(
                self.text("three", body: "hello\r\n"),
                to: ["anna@example.test", "nobody@example.test", "ben@example.test", "x@relay.test"],
                at: server,
                tls: .none
            )
            #expect(report.results.map(\.isTaken) == [true, false, true, false], "\(report.results)")
            #expect(report.results[1].status == "5.1.1")
            #expect(report.results[3].status == "5.7.1")
            _ = try await server.messages(of: "anna", count: 1)
            _ = try await server.messages(of: "ben", count: 1)
        }
    }

    @Test("what is larger than Postfix says it takes is not offered to it")
    func tooLarge() async throws {
        try await PostfixServer.run { server in
            let line = String(repeating: "x", count: 70) + "\r\n"
            let text = self.text("large", body: String(repeating: line, count: PostfixServer.sizeLimit / 72 + 1))
            let report = await self.deliver(text, to: ["anna@example.test"], at: server, tls: .none)
            #expect(report.results.map(\.isTaken) == [false])
            guard case .failed(let failure) = report.results[0], case .tooLarge = failure.cause else {
                Issue.record("\(report.results)")
                return
            }
        }
    }

    @Test("many messages go over few connections, each arrives once")
    func many() async throws {
        try await PostfixServer.run { server in
            let reports = await withTaskGroup(of: TransferReport.self) { group in
                for number in 0..<60 {
                    group.addTask {
                        let text = self.text("many-\(number)", body: "hello\r\n")
                        return await self.deliver(text, to: ["ben@example.test"], at: server, tls: .opportunistic)
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            let results = reports.flatMap(\.results)
            #expect(results.count { $0.isTaken } == 60, "\(results)")
            #expect(reports.contains { $0.reused })
            let arrived = try await server.messages(of: "ben", count: 60)
            let subjects = Set(arrived.compactMap { $0.split(separator: "\n").first { $0.hasPrefix("Subject: ") } })
            #expect(arrived.count == 60 && subjects.count == 60)
        }
    }
}

extension RecipientResult {
    fileprivate var isTaken: Bool {
        if case .accepted = self { true } else { false }
    }

    fileprivate var status: String? {
        guard case .failed(let failure) = self, case .reply(let reply) = failure.cause else {
            return nil
        }
        return reply.enhanced.map { "\($0)" }
    }
}
