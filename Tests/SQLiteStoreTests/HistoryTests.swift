import DNSProtocol
import Delivery
import Foundation
import GRDB
import MailModel
import SQLiteStore
import TestKit
import Testing

@Suite("What the store remembers")
struct HistoryTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("tells of every attempt of a message what it brought and what was seen")
    func attempts() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        let first = SampleQueue.start(1, of: 1)
        try await store.finish(SampleQueue.failed(first, state: .active))
        let second = SampleQueue.start(2, of: 1)
        try await store.begin(second)
        try await store.begin(second)
        #expect(try await store.message(SampleQueue.id(1))?.attempts.last?.finishedAt == nil)
        let delivered = SampleQueue.delivered(second)
        try await store.finish(delivered)

        let record = try #require(try await store.message(SampleQueue.id(1)))
        #expect(record.reversePath == "app@example.org")
        #expect(record.subject == "確認コード")
        #expect(record.submission == SampleQueue.new(1).submission)
        #expect(record.recipients.map(\.mailbox) == ["User0@example.net"])
        #expect(record.recipients.map(\.state) == [.delivered])
        #expect(record.recipients.map(\.provider) == ["gmail"])
        #expect(record.recipients.map(\.lastFailure) == [nil])
        #expect(record.attempts.map(\.move) == ["moved on: no DNS source could answer", "delivered"])
        #expect(record.attempts.map(\.providerMessageID) == [nil, "abc"])
        #expect(record.attempts.last?.evidence == delivered.report.evidence)
        #expect(record.attempts.flatMap(\.outcomes).map(\.status) == ["4.4.3", "2.0.0"])
        #expect(record.attempts.first?.outcomes.first?.scope == .destination)
        #expect(record.attempts.first?.outcomes.first?.stage == .resolve)
        #expect(record.attempts.last?.outcomes.first?.text == "250 2.0.0 OK gsmtp")
        await store.close()
    }

    @Test("keeps every word of an attempt, whatever a server wrote")
    func everyWord() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        var result = SampleQueue.failed(SampleQueue.start(1, of: 1), state: .active)
        let hostile = "\"}],\\ \u{1}\u{1f}\u{7f}\t\r\n\u{2028} 確認 \u{1F4E8}"
        var evidence = AttemptEvidence(remoteHost: hostile, remoteAddress: "[2001:db8::1]:25")
        evidence.tls = hostile
        evidence.authentication = "PLAIN"
        evidence.reusedConnection = true
        evidence.resolution = [hostile, "", "MX shop.test: 127.0.0.11 REFUSED 1 ms"]
        evidence.abandonedHosts = [hostile]
        evidence.timings = [.init(stage: .resolve, milliseconds: 0), .init(stage: .commit, milliseconds: .max)]
        evidence.headerRewritten = true
        result.report.evidence = evidence
        result.report.outcomes = result.report.outcomes.mapValues { outcome in
            var failure = outcome.failure
            failure?.text = hostile
            return failure.map { .failed($0) } ?? outcome
        }
        try await store.finish(result)
        let attempt = try #require(try await store.message(SampleQueue.id(1))?.attempts.first)
        #expect(attempt.evidence == evidence)
        #expect(attempt.outcomes.map(\.text) == [hostile])
        let failure = result.report.outcomes.values.first?.failure
        #expect(attempt.outcomes.map(\.reason) == [failure?.reason])
        #expect(attempt.outcomes.map(\.scope) == [failure?.scope])
    }

    @Test("finds messages by Message-ID with and without brackets, and by recipient in any case")
    func matching() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        try await store.enqueue(SampleQueue.new(2, recipients: 2))
        let found = { (text: String) in try await store.messages(matching: text, limit: 9).map(\.id) }
        #expect(try await found("1@app.example.org") == [SampleQueue.id(1)])
        #expect(try await found("<2@app.example.org>") == [SampleQueue.id(2)])
        #expect(try await found("USER0@Example.Net") == [SampleQueue.id(1), SampleQueue.id(2)])
        #expect(try await found("user1@example.net") == [SampleQueue.id(2)])
        #expect(try await found("%@%") == [])
        await store.close()
    }

    @Test("lists the newest messages in order of arrival")
    func lists() async throws {
        let store = try self.fixture.open()
        for number in Int64(1)...4 {
            try await store.enqueue(SampleQueue.new(number))
        }
        try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: 4)))
        let ids = { (numbers: [Int64]) in numbers.map(SampleQueue.id) }
        #expect(try await store.messages(unfinishedOnly: true, limit: 2).map(\.id) == ids([2, 3]))
        #expect(try await store.messages(unfinishedOnly: false, limit: 2).map(\.id) == ids([3, 4]))
        #expect(try await store.message(SampleQueue.id(9)) == nil)
        await store.close()
    }

    @Test("names the domains that most recipients wait for, and those that most mail is sent from")
    func domains() async throws {
        let store = try self.fixture.open()
        #expect(try await store.waitingDomains(limit: 9).isEmpty)
        #expect(try await store.senderDomains(limit: 9).isEmpty)
        let domains = ["few.test", "many.test", "Many.test", "[192.0.2.1]", "[192.0.2.1]", "[192.0.2.1]", "few.test"]
        for (number, domain) in domains.enumerated() {
            var new = SampleQueue.new(Int64(number), recipients: number == 6 ? 1 : 2, domain: domain)
            let sender = Mailbox(localPart: "app", domain: MailDomain("from-\(number < 3 ? "A" : "b").test"))
            new.message = SampleQueue.message(Int64(number), reversePath: number == 3 ? .null : .mailbox(sender))
            try await store.enqueue(new)
        }
        #expect(try await store.waitingDomains(limit: 9) == ["many.test", "few.test"])
        #expect(try await store.waitingDomains(limit: 1) == ["many.test"])
        #expect(try await store.senderDomains(limit: 9) == ["from-a.test", "from-b.test"])
        for number in Int64(0)...1 {
            try await store.finish(SampleQueue.delivered(SampleQueue.start(9, of: number, recipients: [0, 1])))
        }
        #expect(try await store.hold(.message(SampleQueue.id(2))) == 2)
        #expect(try await store.waitingDomains(limit: 9) == ["few.test"])
        #expect(try await store.senderDomains(limit: 9) == ["from-b.test", "from-a.test"], "what is unfinished first")
        await store.close()
    }

    @Test("counts all that there is, whatever a list shows")
    func counts() async throws {
        let store = try self.fixture.open()
        #expect(try await store.backlog() == Backlog())
        #expect(try await store.count(unfinishedOnly: true) == MessageCount())
        for number in Int64(1)...4 {
            try await store.enqueue(SampleQueue.new(number, recipients: 2))
        }
        try await self.fixture.stranger().write { database in
            try database.execute(
                sql: """
                    UPDATE messages SET arrived_at = 7000000 + id - (SELECT min(id) FROM messages);
                    UPDATE recipients SET state = 3, finished_at = 9000000 WHERE message = (SELECT min(id) FROM messages);
                    UPDATE recipients SET state = 2 WHERE message = (SELECT max(id) FROM messages) AND number = 0;
                    UPDATE recipients SET last_failure = '4.4.3 no DNS' WHERE state <= 1 AND number = 1;
                    """
            )
        }
        let octets = try await store.messages(unfinishedOnly: true, limit: 9).reduce(0) { $0 + $1.size }
        let all = try await store.count(unfinishedOnly: false)
        #expect(all.messages == 4)
        #expect(all.oldestArrival == Timestamp(microseconds: 7_000_000))
        let unfinished = try await store.count(unfinishedOnly: true)
        #expect(unfinished.messages == 3)
        #expect(unfinished.octets == octets)
        #expect(unfinished.oldestArrival.map { $0 > Timestamp(microseconds: 7_000_000) } == true)
        let backlog = try await store.backlog()
        #expect(backlog.waiting == 5)
        #expect(backlog.held == 1)
        #expect(backlog.oldestArrival == unfinished.oldestArrival)
        #expect(backlog.reasons == [.init(text: "4.4.3 no DNS", count: 3), .init(text: nil, count: 2)])
        #expect(backlog.lastDelivery == Timestamp(microseconds: 9_000_000))
        await store.close()
    }

    @Test("can be read beside a running gateway and without one")
    func reader() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        let beside = try HistoryReader(directory: self.fixture.directory)
        #expect(try await beside.messages(unfinishedOnly: true, limit: 9).count == 1)
        beside.close()
        await store.close()
        let without = try HistoryReader(directory: self.fixture.directory)
        #expect(try await without.messages(unfinishedOnly: true, limit: 9).count == 1)
        without.close()
        let nowhere = self.fixture.directory + "/nowhere"
        #expect(failureText { _ = try HistoryReader(directory: nowhere) }.contains("there is no queue at"))
    }

    @Test("a queue that is there and cannot be read is not called missing")
    func unreadable() throws {
        let folder = self.fixture.directory + "/loop"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let database = folder + "/hikyaku.db"
        try FileManager.default.createSymbolicLink(atPath: database, withDestinationPath: database)
        let text = failureText { _ = try HistoryReader(directory: folder) }
        #expect(text.contains("cannot read \(database): Too many levels of symbolic links"))
    }

    @Test("keeps breakers that are not closed")
    func breakers() async throws {
        let store = try self.fixture.open()
        let state = BreakerState(
            openUntil: self.now + .seconds(9),
            openedAt: self.now,
            openings: 2,
            reason: .quotaExceeded,
            text: "550 5.4.5",
            isEndTold: true
        )
        var latched = state
        latched.openUntil = nil
        latched.isEndTold = false
        let keys = [
            BreakerKey(provider: "gmail"),
            BreakerKey(provider: "gmail", part: .senderDomain("example.org")),
            BreakerKey(provider: "gmail", part: .destination("example.org")),
        ]
        for key in keys {
            try await store.save(state, for: key)
        }
        try await store.save(latched, for: keys[0])
        try await store.save(nil, for: keys[1])
        #expect(try await store.breakers() == [keys[0]: latched, keys[2]: state])
        await store.close()
    }

    @Test("keeps the last good answer to a question across a restart")
    func answers() async throws {
        let store = try self.fixture.open()
        var answer = ArchivedAnswer(
            question: "MX gmail.com",
            message: [1, 0, 255],
            receivedAt: self.now,
            source: "1.1.1.1"
        )
        store.remember(answer)
        answer.message = [2]
        store.remember(answer)
        await store.close()
        let next = try self.fixture.open()
        #expect(await next.recall("MX gmail.com") == answer)
        #expect(await next.recall("MX example.com") == nil)
        next.forget("MX gmail.com")
        await next.close()
        let last = try self.fixture.open()
        #expect(await last.recall("MX gmail.com") == nil)
        await last.close()
    }

    @Test("keeps what was found out, and ends it when something else is found or all is well")
    func diagnoses() async throws {
        let store = try self.fixture.open()
        let first = DiagnosisRecord(beganAt: self.now, verdict: "a refuses MX", report: "{}")
        let second = DiagnosisRecord(beganAt: self.now + .seconds(9), verdict: "b is silent", report: "{}")
        try await store.keep(first)
        try await store.keep(second)
        #expect(try await store.diagnoses(limit: 9).map(\.endedAt) == [self.now + .seconds(9), nil])
        try await store.endDiagnoses(at: self.now + .seconds(20))
        await store.close()
        let reader = try HistoryReader(directory: self.fixture.directory)
        let kept = try await reader.diagnoses(limit: 9)
        #expect(kept.map(\.verdict) == ["a refuses MX", "b is silent"])
        #expect(kept.map(\.endedAt) == [self.now + .seconds(9), self.now + .seconds(20)])
        #expect(try await reader.diagnoses(limit: 1).map(\.verdict) == ["b is silent"])
        reader.close()
    }

    @Test("a store of an older version lacks tables, which is no mistake")
    func olderVersion() async throws {
        let store = try self.fixture.open()
        await store.close()
        try await self.fixture.stranger().write { try $0.execute(sql: "DROP TABLE diagnoses; DROP TABLE tls_results") }
        let reader = try HistoryReader(directory: self.fixture.directory)
        #expect(try await reader.diagnoses(limit: 9).isEmpty)
        #expect(try await reader.tlsResults(since: 0, limit: 9).isEmpty)
        reader.close()
    }
}
