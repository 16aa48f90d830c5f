import Delivery
import Foundation
import MailModel
import NIOCore
import SQLiteStore
import TestKit
import Testing

@Suite("The queue in the store")
struct QueueTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("gives back a message, its recipients and its content as they were")
    func roundTrip() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1, recipients: 2))
        #expect(try await store.nextDue() == self.now)
        let leased = try #require(try await store.leaseDue(at: self.now, limit: 10).first)
        let sample = SampleQueue.message(1)
        #expect(leased.message.id == sample.id)
        #expect(leased.message.reversePath == sample.reversePath)
        #expect(leased.message.parameters == sample.parameters)
        #expect(leased.message.messageID == sample.messageID)
        #expect(leased.message.subject == sample.subject)
        #expect(leased.message.arrivedAt == sample.arrivedAt)
        #expect(leased.message.expiresAt == sample.expiresAt)
        #expect(leased.recipients == [SampleQueue.recipient(0), SampleQueue.recipient(1)])
        #expect(leased.interrupted.isEmpty)
        guard case .memory(let buffer) = leased.message.content.storage else {
            Issue.record("the content is not in memory")
            return
        }
        #expect(String(buffer: buffer) == "Subject: hello\r\n\r\nworld\r\n")
        #expect(try await store.leaseDue(at: self.now, limit: 10).isEmpty)
        #expect(try await store.nextDue() == nil)
        await store.close()
    }

    @Test("leases no more content at a time than it may read into memory, and says that there is more")
    func boundedContent() async throws {
        let store = try self.fixture.open()
        for number in 1...40 {
            var new = SampleQueue.new(Int64(number))
            new.message = SampleQueue.message(Int64(number), content: String(repeating: "x", count: 256 * 1_024))
            try await store.enqueue(new)
        }
        var counts: [Int] = []
        var hasMore = true
        while hasMore {
            let batch = try await store.leaseDue(at: self.now, limit: 500) { _ in nil }
            counts.append(batch.messages.count)
            hasMore = batch.hasMore
        }
        #expect(counts == [32, 8])
        await store.close()
    }

    @Test("keeps what the chain and the schedule must remember, and is due again when they say")
    func progress() async throws {
        let store = try self.fixture.open()
        let start = SampleQueue.start(1, of: 1)
        try await store.enqueue(SampleQueue.new(1, firstAttempts: [start]))
        #expect(try await store.leaseDue(at: self.now, limit: 10).isEmpty)
        let later = self.now + .seconds(60)
        try await store.finish(SampleQueue.failed(start, state: .waiting(dueAt: later)))
        #expect(try await store.nextDue() == later)
        #expect(try await store.leaseDue(at: self.now, limit: 10).isEmpty)
        let leased = try #require(try await store.leaseDue(at: later, limit: 10).first)
        #expect(
            leased.recipients.first?.progress
                == .init(attempts: 1, rounds: 1, resumeAt: "sendgrid", deferredSince: self.now)
        )
        await store.close()
    }

    @Test("remembers why a recipient waited when its next attempt is not begun, and forgets it with the delivery")
    func lastFailure() async throws {
        let store = try self.fixture.open()
        let kept = { try await store.message(SampleQueue.id(1))?.recipients.map(\.lastFailure) }
        let start = SampleQueue.start(1, of: 1)
        try await store.enqueue(SampleQueue.new(1, firstAttempts: [start]))
        try await store.finish(SampleQueue.failed(start, state: .waiting(dueAt: self.now)))
        for state in [RecipientUpdate.State.held, .active, .waiting(dueAt: self.now)] {
            var notBegun = SampleQueue.failed(SampleQueue.start(2, of: 1), state: state)
            notBegun.updates[0].lastFailure = nil
            try await store.finish(notBegun)
            #expect(try await kept() == ["4.4.3 no DNS source could answer"])
        }
        try await store.finish(SampleQueue.delivered(SampleQueue.start(3, of: 1)))
        #expect(try await kept() == [nil])
        await store.close()
    }

    @Test("leases the oldest due first, and no more messages than asked for")
    func order() async throws {
        let store = try self.fixture.open()
        for number in Int64(1)...4 {
            var message = SampleQueue.new(number, recipients: 2)
            message.dueAt = self.now + .seconds(10 - number)
            try await store.enqueue(message)
        }
        let later = self.now + .seconds(60)
        #expect(try await store.leaseDue(at: later, limit: 3).map(\.message.id) == [4, 3, 2].map(SampleQueue.id))
        #expect(try await store.leaseDue(at: later, limit: 3).map(\.message.id) == [SampleQueue.id(1)])
        await store.close()
    }

    @Test(
        "puts off the recipients that nobody has room for, instead of leasing them, and no more than a few hundred at a time"
    )
    func putsOff() async throws {
        let store = try self.fixture.open()
        for number in Int64(1)...3 {
            var message = SampleQueue.new(number, recipients: 300)
            message.recipients[299] = SampleQueue.recipient(299, domain: "Other.test")
            message.dueAt = self.now
            try await store.enqueue(message)
        }
        let later = self.now + .seconds(60)
        let putOff: @Sendable (MailDomain) -> Timestamp? = { $0.key == "example.net" ? later : nil }
        let first = try await store.leaseDue(at: self.now, limit: 10, putOff: putOff)
        #expect(first.hasMore)
        #expect(first.messages.map(\.message.id) == [SampleQueue.id(1)])
        let second = try await store.leaseDue(at: self.now, limit: 10, putOff: putOff)
        #expect(!second.hasMore)
        let leased = first.messages + second.messages
        #expect(leased.map(\.message.id) == (1...3).map(SampleQueue.id))
        #expect(leased.flatMap(\.recipients).allSatisfy { $0.number == 299 })
        #expect(try await store.nextDue() == later)
        let afterExpiry = try await store.leaseDue(at: self.now + .seconds(86_400), limit: 10, putOff: putOff)
        #expect(
            afterExpiry.messages.map(\.recipients.count) == [299, 299, 299],
            "what has expired is not put off again"
        )
        await store.close()
    }

    @Test("finishes a message with its last recipient, and then removes the content")
    func finish() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1, recipients: 2))
        try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: 1, recipients: [0])))
        #expect(try await store.message(SampleQueue.id(1))?.finishedAt == nil)
        #expect(try await store.content(of: SampleQueue.id(1)).size > 0)
        try await store.finish(SampleQueue.delivered(SampleQueue.start(2, of: 1, recipients: [1])))
        #expect(try await store.message(SampleQueue.id(1))?.finishedAt == self.now + .seconds(3))
        #expect(await failureKind { _ = try await store.content(of: SampleQueue.id(1)) } == .missing)
        await store.close()
    }

    @Test("keeps the content of a finished message when told to")
    func keepContent() async throws {
        let store = try self.fixture.open { $0.keepContent = true }
        try await store.enqueue(SampleQueue.new(1))
        try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: 1)))
        #expect(try await store.content(of: SampleQueue.id(1)).size > 0)
        await store.close()
    }

    @Test("commits a bounce together with the outcome that caused it")
    func bounce() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        var result = SampleQueue.failed(SampleQueue.start(1, of: 1), state: .bounced)
        result.bounce = SampleQueue.new(2)
        try await store.finish(result)
        #expect(try await store.message(SampleQueue.id(1))?.recipients.first?.state == .bounced)
        #expect(try await store.lease(SampleQueue.id(2))?.message.id == SampleQueue.id(2))

        // The same bounce again cannot be inserted, so the outcome is not recorded either.
        try await store.enqueue(SampleQueue.new(3))
        var second = SampleQueue.failed(SampleQueue.start(3, of: 3), state: .bounced)
        second.bounce = SampleQueue.new(2)
        let spoiled = second
        #expect(await failureKind { try await store.finish(spoiled) } == .broken)
        #expect(try await store.message(SampleQueue.id(3))?.recipients.first?.state == .waiting)
        #expect(try await store.message(SampleQueue.id(3))?.attempts.isEmpty == true)
        await store.close()
    }

    @Test("gives recipients back without an attempt")
    func release() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1, recipients: 2))
        _ = try await store.leaseDue(at: self.now, limit: 1)
        try await store.release(SampleQueue.id(1), recipients: [1], dueAt: self.now + .seconds(5))
        #expect(try await store.nextDue() == self.now + .seconds(5))
        let leased = try await store.leaseDue(at: self.now + .seconds(5), limit: 1)
        #expect(leased.first?.recipients.map(\.number) == [1])
        await store.close()
    }

    @Test("holds, releases, expedites and deletes by message and by domain")
    func operations() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1, recipients: 2))
        try await store.enqueue(SampleQueue.new(2, domain: "Example.COM"))
        #expect(try await store.hold(.domain("example.com")) == 1)
        #expect(try await store.leaseDue(at: self.now, limit: 9).map(\.message.id) == [SampleQueue.id(1)])
        #expect(try await store.expedite(.all, at: self.now) == 0)
        #expect(try await store.releaseHeld(.message(SampleQueue.id(2))) == 1)
        #expect(try await store.nextDue() == Timestamp(microseconds: 0))
        try await store.release(SampleQueue.id(1), recipients: [0, 1], dueAt: self.now + .seconds(99))
        #expect(try await store.expedite(.message(SampleQueue.id(1)), at: self.now) == 2)
        #expect(try await store.delete(.all, at: self.now) == 3)
        #expect(try await store.messages(unfinishedOnly: true, limit: 9).isEmpty)
        #expect(try await store.messages(unfinishedOnly: false, limit: 9).map(\.finishedAt) == [self.now, self.now])
        await store.close()
    }

    @Test("counts what of a selection this run has leased, whoever is waiting or held beside it")
    func countsLeased() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(
            SampleQueue.new(1, recipients: 3, firstAttempts: [SampleQueue.start(1, of: 1, recipients: [0, 1])])
        )
        try await store.enqueue(SampleQueue.new(2, domain: "Example.COM"))
        #expect(try await store.leasedCount(.all) == 2)
        #expect(try await store.leasedCount(.domain("example.com")) == 0)
        _ = try await store.lease(SampleQueue.id(2))
        #expect(try await store.leasedCount(.domain("example.com")) == 1)
        #expect(try await store.leasedCount(.message(SampleQueue.id(1))) == 2)
        #expect(try await store.delete(.message(SampleQueue.id(1)), at: self.now) == 3)
        #expect(try await store.leasedCount(.all) == 1)
        await store.close()
    }

    @Test(
        "changes a large selection in steps, between which submissions are committed",
        arguments: [QueueSelection.all, .domain("example.com")]
    )
    func largeOperations(_ selection: QueueSelection) async throws {
        let store = try self.fixture.open()
        let count = 1_250
        for number in 1...5 {
            try await store.enqueue(SampleQueue.new(Int64(number), recipients: count / 5, domain: "example.com"))
        }
        let before = store.counters.commits
        let earlier = self.now + .seconds(-1)
        #expect(try await store.expedite(selection, at: earlier) == count)
        #expect(store.counters.commits - before == 3)
        #expect(try await store.expedite(selection, at: earlier) == 0)
        #expect(try await store.hold(selection) == count)
        #expect(try await store.releaseHeld(selection) == count)
        #expect(try await store.delete(selection, at: self.now) == count)
        #expect(store.counters.commits - before == 12)
        #expect(try await store.messages(unfinishedOnly: true, limit: 9).isEmpty)
        await store.close()
    }

    @Test("does not revive what was deleted while it was leased, and begins nothing for it")
    func deleteLeased() async throws {
        let store = try self.fixture.open()
        let start = SampleQueue.start(1, of: 1)
        try await store.enqueue(SampleQueue.new(1, firstAttempts: [start]))
        #expect(try await store.delete(.message(SampleQueue.id(1)), at: self.now) == 1)
        #expect(await failureKind { try await store.begin(SampleQueue.start(2, of: 1)) } == .missing)
        try await store.finish(SampleQueue.failed(start, state: .waiting(dueAt: self.now)))
        #expect(try await store.leaseDue(at: self.now, limit: 9).isEmpty)
        #expect(try await store.message(SampleQueue.id(1))?.recipients.first?.state == .deleted)
        await store.close()
    }

    @Test("purges finished messages only, and remembers the last queue id")
    func purge() async throws {
        let store = try self.fixture.open()
        #expect(try await store.lastQueueID() == nil)
        for number in Int64(1)...3 {
            try await store.enqueue(SampleQueue.new(number))
        }
        for number in Int64(1)...2 {
            try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: number)))
        }
        let before = self.now + .seconds(3_600)
        #expect(try await store.purgeFinished(before: self.now, limit: 9) == 0)
        #expect(try await store.purgeFinished(before: before, limit: 1) == 1)
        #expect(try await store.purgeFinished(before: before, limit: 9) == 1)
        #expect(try await store.messages(unfinishedOnly: false, limit: 9).map(\.id) == [SampleQueue.id(3)])
        #expect(try await store.lastQueueID() == SampleQueue.id(3))
        await store.close()
    }
}
