import Delivery
import Foundation
import Gateway
import MailModel
import SQLiteStore
import TestKit
import Testing

@Suite("The whole gateway over a restart")
struct RestartTests {
    @Test("what is unfinished at the stop is parked and delivered once by the next start")
    func takesUpWhatWasLeft() async throws {
        var silent = FakeExchangerScript()
        silent.always = [.greeting: .hang]
        let folder = try GatewayFolder()
        let settings =
            "shutdown-grace: 100ms\nretry: { first-delay: 1h, outage-delay: 1h }\nchain: [relay]\nproviders:\n"
        var ids: [QueueID] = []
        try await FakeExchanger.run(silent) { exchanger in
            try await folder.run(settings + relay("relay", exchanger, ", connections: 2")) { gateway in
                for _ in 0..<6 {
                    ids.append(try await gateway.accept())
                }
                try await eventually("two attempts hang, and the rest waits") { exchanger.record.connections == 2 }
            }
        }
        for id in ids {
            let record = try #require(try await folder.record(id))
            #expect(record.recipients.map(\.state) == [.waiting])
            #expect(record.attempts.allSatisfy { $0.finishedAt != nil }, "\(record.attempts)")
            // Stopping is nobody's fault but ours.
            #expect(record.attempts.flatMap(\.outcomes).map(\.reason) == [.interrupted])
        }
        try await FakeExchanger.run { exchanger in
            try await folder.run(settings + relay("relay", exchanger)) { gateway in
                #expect(try await gateway.ask(.status).status?.breakers.isEmpty == true)
                for id in ids {
                    _ = try await gateway.wait(for: id, .delivered)
                }
                #expect(try await gateway.accept() > ids.max() ?? ids[0], "ids go on rising")
                try await eventually("the new one arrives, too") { exchanger.record.messages.count == ids.count + 1 }
            }
            #expect(exchanger.record.messages.count == ids.count + 1)
        }
    }

    @Test(
        "stopped while the answer to the content is awaited: doubt is on record, and the same provider is asked again"
    )
    func keepsDoubt() async throws {
        var mute = FakeExchangerScript()
        mute.once = [.content: [.hang]]
        let folder = try GatewayFolder()
        try await FakeExchanger.run(mute) { first in
            try await FakeExchanger.run { second in
                let text =
                    "shutdown-grace: 100ms\nretry: { ambiguous-delay: 100ms }\nchain: [first, second]\nproviders:\n"
                    + relay("first", first) + relay("second", second)
                var id: QueueID?
                try await folder.run(text) { gateway in
                    id = try await gateway.accept()
                    try await eventually("the content is handed over") { first.record.messages.count == 1 }
                }
                let known = try #require(id)
                let left = try #require(try await folder.record(known))
                #expect(left.recipients.map(\.state) == [.waiting])
                #expect(left.attempts.flatMap(\.outcomes).map(\.persistence) == [.ambiguous])
                try await folder.run(text) { gateway in
                    let record = try await gateway.wait(for: left.id, .delivered)
                    #expect(record.attempts.map(\.provider) == ["first", "first"])
                    #expect(second.record.messages.isEmpty)
                }
            }
        }
    }

    @Test("a second gateway on the same folder is refused, and told who has it; the first goes on")
    func refusesASecondGateway() async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            let text = "chain: [relay]\nproviders:\n" + relay("relay", exchanger)
            try await folder.run(text) { gateway in
                let configuration = try folder.configuration(text)
                do {
                    _ = try await GatewayService(configuration, logger: .silent)
                    Issue.record("the second gateway started")
                } catch let failure as StoreFailure {
                    #expect(failure.kind == .busy)
                    let expected = "the queue is in use by process \(getpid()), which holds \(folder.data)/hikyaku.lock"
                    #expect(failure.description == expected)
                }
                _ = try await gateway.wait(for: try await gateway.accept(), .delivered)
            }
            // The folder is free again.
            try await folder.run(text) { gateway in
                _ = try await gateway.wait(for: try await gateway.accept(), .delivered)
            }
        }
    }

    @Test("what refused credentials closed is probed once after a restart, and stays so until an operator opens it")
    func keepsBreakers() async throws {
        var refusing = FakeExchangerScript()
        refusing.mechanisms = ["PLAIN"]
        refusing.offersAuthInClear = true
        refusing.authReplies = ["535 5.7.8 bad credentials"]
        let folder = try GatewayFolder()
        try await FakeExchanger.run(refusing) { first in
            try await FakeExchanger.run { second in
                let login = ", username: app, password: wrong, auth-without-tls: true"
                let text =
                    "chain: [first, second]\nproviders:\n" + relay("first", first, login) + relay("second", second)
                try await folder.run(text) { gateway in
                    let record = try await gateway.wait(for: try await gateway.accept(), .delivered)
                    #expect(record.attempts.map(\.provider) == ["first", "second"])
                    #expect(record.attempts.first?.outcomes.map(\.stage) == [.auth])
                    let breakers = try await gateway.ask(.status).status?.breakers
                    #expect(breakers?.map(\.name) == ["first"])
                    #expect(breakers?.first?.why.contains("bad credentials") == true)
                }
                let connections = first.record.connections
                try await folder.run(text) { gateway in
                    #expect(try await gateway.ask(.status).status?.breakers.map(\.name) == ["first"])
                    let probe = try await gateway.wait(for: try await gateway.accept(), .delivered)
                    #expect(probe.attempts.map(\.provider) == ["first", "second"])
                    let record = try await gateway.wait(for: try await gateway.accept(), .delivered)
                    #expect(record.attempts.map(\.provider) == ["second"])
                    #expect(first.record.connections == connections + 1)
                    let unknown = try await gateway.ask(.closeBreaker, "frist").error
                    #expect(unknown == "\"frist\" is not in the chain (first, second)")
                    #expect(try await gateway.ask(.closeBreaker, "first").count == 1)
                    #expect(try await gateway.ask(.status).status?.breakers.isEmpty == true)
                    let again = try await gateway.wait(for: try await gateway.accept(), .delivered)
                    #expect(again.attempts.map(\.provider) == ["first", "second"])
                }
            }
        }
    }

    @Test("a port that is taken is told with its address and the listener's name, and nothing keeps the folder")
    func namesTheTakenPort() async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            let rest = "data-directory: \(folder.data)\nchain: [relay]\nproviders:\n" + relay("relay", exchanger)
            let text = "listeners: { app: { port: \(exchanger.port) } }\n" + rest
            let configuration = try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: [:])
            let service = try await GatewayService(configuration, logger: .silent)
            do {
                try await service.run {}
                Issue.record("it listens on a port that is taken")
            } catch {
                let message = "\(error)"
                #expect(
                    message.hasPrefix("listeners.app: cannot listen on 127.0.0.1 port \(exchanger.port): "),
                    "\(message)"
                )
            }
            try await folder.run("chain: [relay]\nproviders:\n" + relay("relay", exchanger)) { gateway in
                _ = try await gateway.wait(for: try await gateway.accept(), .delivered)
            }
        }
    }
}
