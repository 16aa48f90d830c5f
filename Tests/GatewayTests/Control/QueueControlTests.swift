import Delivery
import Gateway
import MailModel
import TestKit
import Testing

@Suite("Commands to a running gateway")
struct QueueControlTests {
    @Test("hold keeps a message from being tried even by flush; release lets it go")
    func holdsAndReleases() async throws {
        try await self.withOneDeferred { gateway, exchanger, id in
            #expect(try await gateway.ask(.hold, "\(id)").count == 1)
            _ = try await gateway.wait(for: id, .held)
            #expect(try await gateway.ask(.flush).count == 0)
            // Whoever came behind it and went out shows that the queue has looked.
            _ = try await gateway.wait(for: try await gateway.accept(), .delivered)
            #expect(try await gateway.folder.record(id)?.recipients.map(\.state) == [.held])
            #expect(exchanger.record.messages.count == 1)
            #expect(try await gateway.ask(.release, "example.net").count == 1)
            let record = try await gateway.wait(for: id, .delivered)
            #expect(record.attempts.count == 2)
        }
    }

    @Test("flush brings forward what waits for another hour")
    func flushes() async throws {
        try await self.withOneDeferred { gateway, exchanger, id in
            let due = try #require(try await gateway.folder.record(id)?.recipients.first?.dueAt)
            #expect(due > .now + .seconds(1_000))
            #expect(try await gateway.ask(.flush, "\(id)").count == 1)
            _ = try await gateway.wait(for: id, .delivered)
            #expect(exchanger.record.messages.count == 1)
        }
    }

    @Test("flush tries what is left alone, but names a quota that is spent until a known moment")
    func flushesBreakers() async throws {
        var down = FakeExchangerScript()
        down.once = [.greeting: [.reply("421 4.3.2 not now")]]
        var spent = FakeExchangerScript()
        spent.once = [.mail: [.reply("550 5.4.5 daily user sending quota exceeded")]]
        try await FakeExchanger.run(down) { first in
            try await FakeExchanger.run(spent) { second in
                let folder = try GatewayFolder()
                let settings =
                    "retry: { breaker-delay: 1h, breaker-max-delay: 1h }\nchain: [first, second]\nproviders:\n"
                try await folder.run(settings + relay("first", first) + relay("second", second)) { gateway in
                    let id = try await gateway.accept()
                    _ = try await gateway.wait(for: id, .waiting)
                    try await eventually("both are left alone") {
                        try await gateway.ask(.status).status?.breakers.map(\.name) == ["first", "second"]
                    }
                    let reply = try await gateway.ask(.flush)
                    #expect(reply.count == 1)
                    #expect(reply.leftAlone?.map(\.name) == ["second"])
                    #expect(reply.leftAlone?.first?.why.contains("quota") == true)
                    let record = try await gateway.wait(for: id, .delivered)
                    #expect(record.recipients.first?.provider == "first")
                }
            }
        }
    }

    @Test("delete ends a message without delivery and without a report")
    func deletes() async throws {
        try await self.withOneDeferred { gateway, exchanger, id in
            #expect(try await gateway.ask(.delete, "ALL").count == 1)
            let record = try await gateway.wait(for: id, .deleted)
            #expect(record.finishedAt != nil)
            #expect(try await gateway.ask(.delete, "\(id)").count == 0)
            #expect(try await gateway.ask(.flush).count == 0)
            _ = try await gateway.wait(for: try await gateway.accept(), .delivered)
            #expect(exchanger.record.messages.count == 1)
            #expect(try await gateway.folder.records().count == 2)
        }
    }

    @Test(
        "hold and delete reach what waits in memory, and say what they could not stop",
        arguments: [ControlRequest.Verb.hold, .delete]
    )
    func reachesMemory(_ verb: ControlRequest.Verb) async throws {
        var mute = FakeExchangerScript()
        mute.once = [.mail: [.hang]]
        try await FakeExchanger.run(mute) { exchanger in
            let folder = try GatewayFolder()
            let settings = "shutdown-grace: 100ms\nlimits: { per-destination: 1, per-destination-start: 1 }\n"
            try await folder.run(settings + "chain: [relay]\nproviders:\n" + relay("relay", exchanger)) { gateway in
                let running = try await gateway.accept()
                try await eventually("it is under way") { exchanger.record.commands.contains { $0.hasPrefix("MAIL") } }
                var waiting: [QueueID] = []
                for _ in 1...3 {
                    waiting.append(try await gateway.accept())
                }
                let reply = try await gateway.ask(verb, "ALL")
                #expect(reply.running == 1)
                #expect(reply.count == (verb == .hold ? 3 : 4))
                #expect(try await gateway.ask(.status).status?.waiting == 0)
                for id in waiting {
                    let states = try await folder.record(id)?.recipients.map(\.state)
                    #expect(states == [verb == .hold ? .held : .deleted])
                }
                let left = try await folder.record(running)?.recipients.map(\.state)
                #expect(left == [verb == .hold ? .active : .deleted])
            }
            #expect(exchanger.record.commands.count { $0.hasPrefix("MAIL") } == 1)
        }
    }

    @Test("a domain selects its recipients in any case, and nobody else's")
    func selectsByDomain() async throws {
        try await self.withOneDeferred { gateway, _, id in
            #expect(try await gateway.ask(.hold, "example.com").count == 0)
            #expect(try await gateway.ask(.hold, "EXAMPLE.NET").count == 1)
            _ = try await gateway.wait(for: id, .held)
        }
    }

    @Test(
        "a subject that is nothing is refused, and nothing is touched",
        arguments: ["everything", "*", "", "-ALL", "exa mple.net\u{1B}[2J"]
    )
    func refusesSubjects(_ subject: String) async throws {
        try await self.withOneDeferred { gateway, _, id in
            let reply = try await gateway.ask(.delete, subject)
            #expect(reply.error == "\"\(subject)\" is neither a queue id, nor a domain, nor ALL")
            #expect(reply.count == nil)
            #expect(try await gateway.folder.record(id)?.recipients.map(\.state) == [.waiting])
        }
    }

    @Test("status tells version, name, chain and where it listens")
    func tellsItsStatus() async throws {
        try await self.withOneDeferred { gateway, _, _ in
            let status = try #require(try await gateway.ask(.status).status)
            #expect(status.version == GatewayService.version)
            #expect(status.hostname == "gw.example.test")
            #expect(status.chain == ["relay"])
            #expect(status.listeners.count == 1)
            #expect(status.breakers.isEmpty)
            #expect(status.dnsSources.map(\.name) == ["127.0.0.1:1"])
        }
    }

    /// A gateway with one message that was deferred and waits for an hour; the next hop takes what comes now.
    private func withOneDeferred(
        _ body: (RunningGateway, FakeExchanger, QueueID) async throws -> Void
    ) async throws {
        var script = FakeExchangerScript()
        script.once = [.rcpt: [.reply("450 4.2.1 come back later")]]
        try await FakeExchanger.run(script) { exchanger in
            let folder = try GatewayFolder()
            let settings = "retry: { first-delay: 1h, max-delay: 1h, fallback-after: 4h }\nchain: [relay]\nproviders:\n"
            try await folder.run(settings + relay("relay", exchanger)) { gateway in
                let id = try await gateway.accept()
                _ = try await gateway.wait(for: id, .waiting)
                #expect(exchanger.record.messages.isEmpty)
                try await body(gateway, exchanger, id)
            }
        }
    }
}
