import Delivery
import MailModel
import TestKit
import Testing

@Suite("Reports, which have the null reverse-path")
struct ReportTests {
    private let fixture = QueueFixture()

    private func insertReport(_ number: Int64) -> QueueID {
        let message = QueuedMessage.sample(number, from: .null, arrivedAt: self.fixture.clock.wallTime)
        self.fixture.store.insert(
            message,
            [Recipient(number: 0, forwardPath: .sample("sender@app.test"))],
            dueAt: message.arrivedAt
        )
        return message.id
    }

    @Test("a word against the sender of a report closes the way for reports alone, and a delivered one opens it")
    func closesForReports() async throws {
        let api = ScriptedProvider("api") { attempt, _ in
            attempt == 1 ? .failed(.sample(.permanent, .sender, .commit)) : .accepted
        }
        let manager = self.fixture.manager([api])
        let first = self.insertReport(1)
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == 1 }
            #expect(manager.openBreakers.keys.map(\.description) == ["api from <>"])
            let mail = self.fixture.submit(2, to: ["a@x.test"], manager)
            await self.fixture.store.wait { $0.count == 2 }
            #expect(self.fixture.states(mail) == [.delivered(provider: "api")])
            let second = self.insertReport(3)
            manager.lookAgain()
            #expect(manager.openBreakers.count == 1, "other mail proves nothing for reports")
            self.fixture.clock.advance(by: .seconds(900))
            manager.lookAgain()
            await self.fixture.store.wait { $0.count == 4 }
            for report in [first, second] {
                #expect(self.fixture.states(report) == [.delivered(provider: "api")])
            }
            #expect(manager.openBreakers.isEmpty)
        }
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let chain: [(name: String, isSMTP: Bool)]
        let asked: [String]
    }

    @Test(
        "a way that does not carry the null reverse-path is asked only where none follows that does",
        arguments: [
            Row(testDescription: "SMTP behind it", chain: [("api", false), ("relay", true)], asked: ["relay"]),
            Row(testDescription: "SMTP before it", chain: [("relay", true), ("api", false)], asked: ["relay", "api"]),
            Row(testDescription: "no SMTP", chain: [("api", false), ("other", false)], asked: ["api", "other"]),
            Row(
                testDescription: "SMTP between",
                chain: [("api", false), ("relay", true), ("other", false)],
                asked: ["relay", "other"]
            ),
        ]
    )
    func passesBy(_ row: Row) async throws {
        let providers = row.chain.map { name, isSMTP in
            ScriptedProvider(name, carriesNullReversePath: isSMTP) { _, _ in
                .failed(.sample(.permanent, .capability, .mail))
            }
        }
        let manager = self.fixture.manager(providers)
        let id = self.insertReport(1)
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == row.asked.count }
            #expect(self.fixture.states(id) == [.bounced])
        }
        #expect(providers.filter { !$0.attempts.isEmpty }.map(\.name) == row.asked)
    }
}
