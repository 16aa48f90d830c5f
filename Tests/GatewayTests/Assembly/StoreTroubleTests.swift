import Delivery
import Foundation
import Logging
import MailModel
import NIOPosix
import SMTPServer
import SQLiteStore
import TestKit
import Testing

@testable import Gateway

@Suite("A store that fails")
struct StoreTroubleTests {
    @Test("without room for large content the client reads 451, nothing stays behind, and small mail goes on")
    func losesItsContentFolder() async throws {
        let line = String(repeating: "x", count: 998) + "\r\n"
        let large = Array("Subject: large\r\n\r\n\(String(repeating: line, count: 600))".utf8)
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            try await folder.run("chain: [relay]\nproviders:\n" + relay("relay", exchanger)) { gateway in
                let contents = folder.data + "/content"
                try FileManager.default.moveItem(atPath: contents, toPath: contents + ".away")
                let refusal = try await gateway.submit(large)
                #expect(refusal == "451 4.3.0 the message cannot be stored now, try again")
                #expect(try await folder.records().isEmpty)
                let small = try await gateway.accept()
                _ = try await gateway.wait(for: small, .delivered)
                try FileManager.default.moveItem(atPath: contents + ".away", toPath: contents)
                #expect(try folder.contentFiles().isEmpty)
                _ = try await gateway.wait(for: try await gateway.accept(large), .delivered)
                #expect(exchanger.record.messages.count == 2)
            }
        }
    }

    @Test("a full store answers 452 and keeps nothing of the message; what was accepted before is whole")
    func isFull() async throws {
        let folder = try GatewayFolder()
        try await self.listen(in: folder, pages: 60) { port, store in
            let gateway = PortOnly(port: port)
            let text = "Subject: x\r\n\r\n" + String(repeating: String(repeating: "x", count: 98) + "\r\n", count: 300)
            var accepted: [QueueID] = []
            var refusal = ""
            while refusal.isEmpty, accepted.count < 100 {
                let reply = try await gateway.submit(text)
                if reply.hasPrefix("250"), let id = reply.split(separator: " ").last.flatMap(QueueID.init) {
                    accepted.append(id)
                } else {
                    refusal = reply
                }
            }
            #expect(refusal == "452 4.3.1 insufficient system storage")
            #expect(!accepted.isEmpty)
            let kept = try await store.messages(unfinishedOnly: false, limit: 1_000)
            #expect(kept.map(\.id) == accepted)
            for id in accepted {
                let content = try await store.content(of: id)
                #expect(content.size > text.utf8.count)
            }
        }
    }

    @Test("a store that is closed already answers 421, which every client tries again")
    func isClosed() async throws {
        let folder = try GatewayFolder()
        try await self.listen(in: folder, pages: nil) { port, store in
            await store.close()
            let reply = try await PortOnly(port: port).submit("Subject: x\r\n\r\nx\r\n")
            #expect(reply == "421 4.3.2 the gateway is shutting down, try again")
        }
    }

    /// Runs a listener over a store alone; nothing is delivered.
    private func listen(
        in folder: GatewayFolder,
        pages: Int?,
        _ body: (Int, MessageStore) async throws -> Void
    ) async throws {
        var settings = MessageStore.Configuration(directory: folder.data)
        settings.maximumPages = pages
        let store = try MessageStore.open(settings, logger: .silent)
        let intake = SubmissionIntake(
            hostname: "gw.example.test",
            expireAfter: .seconds(3_600),
            queueIDs: QueueIDSource(after: nil),
            store: store,
            queue: QueueManager(
                configuration: .init(),
                chain: StrategyChain(providers: [], fallbackAfter: .seconds(60), onAmbiguous: .resend),
                providers: [],
                schedule: RetrySchedule(),
                breakers: BreakerBoard(policy: .init()),
                store: store,
                clock: SystemClock(),
                events: DeliveryLog(logger: .silent),
                composeBounce: { _, _, _ in nil }
            )
        )
        let listener = SMTPListener(
            configuration: ListenerConfiguration(
                name: "smtp",
                host: "127.0.0.1",
                port: 0,
                allowedNetworks: CIDRBlock.privateNetworks,
                hostname: "gw.example.test",
                qualifyDomain: "example.test"
            ),
            group: MultiThreadedEventLoopGroup.singleton,
            sink: intake,
            clock: { .now },
            logger: .silent
        )
        try await listener.start()
        do {
            try await body(try #require(listener.port), store)
        } catch {
            await listener.shutdown(grace: .zero)
            throw error
        }
        await listener.shutdown(grace: .zero)
        await store.close()
    }
}

/// Submits to a listener without a gateway around it.
private struct PortOnly {
    let port: Int

    func submit(_ text: String) async throws -> String {
        let client = try DialogueSocket(port: self.port)
        _ = try await client.reply()
        for command in ["EHLO x", "MAIL FROM:<a@example.test>", "RCPT TO:<b@example.test>", "DATA"] {
            try await client.send(command + "\r\n")
            _ = try await client.reply()
        }
        try await client.send(text + ".\r\n")
        return try await client.reply() ?? ""
    }
}
