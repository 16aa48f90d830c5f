import Delivery
import FoundationEssentials
import Gateway
import MailModel
import TestKit
import Testing

@Suite("A message as JSON")
struct MessageJSONTests {
    /// The keys that scripts were promised, written down apart from the code that makes them.
    private struct Shape: Decodable {
        struct Recipient: Decodable {
            let mailbox, state: String
            let dueAt, finishedAt, provider, lastFailure: String?
            let attempts: Int
        }

        struct Outcome: Decodable {
            let recipient, status, text: String
            let delivered: Bool
            let persistence, scope, stage, reason: String?
        }

        struct Timing: Decodable {
            let stage: String
            let milliseconds: Int
        }

        struct Evidence: Decodable {
            let remoteHost, remoteAddress, tls, authentication: String?
            let reusedConnection, headerRewritten: Bool
            let resolution, abandonedHosts: [String]
            let timings: [Timing]
        }

        struct Attempt: Decodable {
            let provider, startedAt, move: String
            let finishedAt, providerMessageID: String?
            let outcomes: [Outcome]
            let evidence: Evidence
        }

        let id, from, messageID, subject, arrivedAt, expiresAt, listener, clientName: String
        let finishedAt, clientAddress, user: String?
        let size: Int
        let recipients: [Recipient]
        let attempts: [Attempt]
    }

    private func decode(_ message: MessageRecord) throws -> Shape {
        try JSONDecoder().decode(Shape.self, from: Data(MessageJSON.text(of: MessageJSON(message)).utf8))
    }

    @Test("has the keys that scripts were promised, with the values of the record")
    func keepsItsPromise() throws {
        let shape = try self.decode(
            SampleHistory.message(attempts: [SampleHistory.unresolved, SampleHistory.accepted])
        )
        #expect(shape.id == "\(SampleQueue.id(1))")
        #expect(shape.from == "app@example.org")
        #expect(shape.subject == "確認コード")
        #expect(shape.arrivedAt == "2026-11-24T10:17:03.000Z")
        #expect(shape.expiresAt == "2026-11-25T10:17:03.000Z")
        #expect(shape.finishedAt == nil)
        #expect(shape.clientAddress == "172.18.0.5")
        #expect(shape.user == "django")
        #expect(shape.size == 1_290)
        #expect(shape.recipients.map(\.state) == ["delivered"])
        #expect(shape.recipients.map(\.finishedAt) == ["2026-11-24T10:17:03.940Z"])
        #expect(shape.attempts.map(\.provider) == ["direct", "gmail"])
        #expect(shape.attempts.map(\.providerMessageID) == [nil, "1732356423"])
        let failed = try #require(shape.attempts.first?.outcomes.first)
        #expect(failed.recipient == "user@example.net")
        #expect(failed.persistence == "transient")
        #expect(failed.scope == "destination")
        #expect(failed.stage == "resolve")
        #expect(failed.reason == "dns-unavailable")
        let evidence = try #require(shape.attempts.last?.evidence)
        #expect(evidence.tls == "TLSv1.3 verified")
        #expect(evidence.timings.map(\.stage) == ["connect", "tls", "data"])
        #expect(evidence.timings.map(\.milliseconds) == [40, 61, 210])
    }

    @Test("no control reaches the terminal, and what is decoded is what the peer wrote")
    func disarmsPeers() throws {
        let message = SampleHistory.message(
            subject: "\u{1B}[2J\u{9B}31m\u{7F}\u{85}",
            attempts: [SampleHistory.refused]
        )
        let text = MessageJSON.text(of: MessageJSON(message))
        #expect(text.controls.isEmpty, "\(text.debugDescription)")
        let shape = try self.decode(message)
        #expect(shape.subject == message.subject)
        #expect(shape.attempts.first?.outcomes.first?.text == SampleHistory.hostile)
    }

    @Test("the keys stand in the order of the alphabet, so that two prints can be compared")
    func sortsItsKeys() {
        let text = MessageJSON.text(of: MessageJSON(SampleHistory.message()))
        let keys = text.split(separator: "\n").filter { $0.hasPrefix("  \"") }.compactMap {
            $0.split(separator: "\"").dropFirst().first
        }
        #expect(keys.count > 10)
        #expect(keys == keys.sorted())
    }
}
