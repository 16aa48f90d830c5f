import Delivery
import Foundation
import GRDB
import MailModel
import SQLiteStore
import TestKit
import Testing

@Suite("A store that is opened again")
struct RecoveryTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("is refused to a second gateway, with the pid and the path of the first")
    func secondProcess() async throws {
        let store = try self.fixture.open()
        let text = failureText { _ = try self.fixture.open() }
        #expect(text.contains("process \(ProcessInfo.processInfo.processIdentifier)"))
        #expect(text.contains("/hikyaku.lock"))
        await store.close()
        let next = try self.fixture.open()
        #expect(next.epoch == store.epoch + 1)
        await next.close()
    }

    @Test("has what was acknowledged before a crash, and takes up what was leased")
    func crash() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        try await store.enqueue(SampleQueue.new(2))
        _ = try await store.leaseDue(at: self.now, limit: 1)
        let after = try self.fixture.afterCrash().open()
        #expect(try await after.nextDue() == Timestamp(microseconds: 0))
        let leased = try await after.leaseDue(at: self.now, limit: 9)
        #expect(Set(leased.map(\.message.id)) == [SampleQueue.id(1), SampleQueue.id(2)])
        #expect(leased.allSatisfy { $0.interrupted.isEmpty })
        await after.close()
        await store.close()
    }

    @Test("says which attempt was interrupted, until the recipient has had another one")
    func interrupted() async throws {
        let store = try self.fixture.open()
        let first = SampleQueue.start(1, of: 1, recipients: [1])
        try await store.enqueue(SampleQueue.new(1, recipients: 2, firstAttempts: [first]))
        try await store.begin(first)

        let second = try self.fixture.afterCrash()
        let afterOne = try second.open()
        let leased = try #require(try await afterOne.leaseDue(at: self.now, limit: 9).first)
        #expect(leased.recipients.map(\.number) == [0, 1])
        #expect(leased.interrupted == [1: "gmail"])
        let record = try #require(try await afterOne.message(SampleQueue.id(1)))
        #expect(record.attempts.map(\.finishedAt) == [nil])
        #expect(record.attempts.first?.outcomes.map(\.reason) == [.interrupted])
        #expect(record.attempts.first?.outcomes.map(\.persistence) == [.ambiguous])

        // Killed again before anything was tried: still known.
        let afterTwo = try second.afterCrash().open()
        let again = try #require(try await afterTwo.lease(SampleQueue.id(1)))
        #expect(again.interrupted == [1: "gmail"])
        let retry = SampleQueue.start(2, of: 1, recipients: [1])
        try await afterTwo.finish(SampleQueue.failed(retry, state: .waiting(dueAt: self.now)))
        #expect(try await afterTwo.lease(SampleQueue.id(1))?.interrupted == [:])
        for store in [store, afterOne, afterTwo] {
            await store.close()
        }
    }

    @Test("takes for interrupted what had begun, and not what only waited in memory")
    func planned() async throws {
        let store = try self.fixture.open()
        let first = SampleQueue.start(1, of: 1, recipients: [0])
        try await store.enqueue(SampleQueue.new(1, recipients: 2, firstAttempts: [first], planned: [1]))
        #expect(try await store.leaseDue(at: self.now, limit: 9).isEmpty, "both are held by this process")
        let after = try self.fixture.afterCrash().open()
        let leased = try #require(try await after.leaseDue(at: self.now, limit: 9).first)
        #expect(leased.recipients.map(\.number) == [0, 1])
        #expect(leased.interrupted == [0: "gmail"])
        await after.close()
        await store.close()
    }

    @Test("keeps since when an interrupted recipient has waited for its provider, however often it is given back")
    func patienceAfterInterruption() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1, firstAttempts: [SampleQueue.start(1, of: 1)]))
        let after = try self.fixture.afterCrash().open()
        for seconds in [0, 60, 120] {
            let moment = self.now + .seconds(seconds)
            let leased = try #require(try await after.leaseDue(at: moment, limit: 9).first)
            let progress = try #require(leased.recipients.first?.progress)
            #expect(progress.ambiguousAt == "gmail")
            #expect(progress.deferredSince == self.now)
            try await after.release(SampleQueue.id(1), recipients: [0], dueAt: moment)
        }
        await after.close()
        await store.close()
    }

    @Test("what a crash left leased is held on an operator's word, and waited for anew when it is released")
    func holdsWhatWasLeased() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1, firstAttempts: [SampleQueue.start(1, of: 1)]))
        let after = try self.fixture.afterCrash().open()
        #expect(try await after.hold(.all) == 1)
        #expect(try await after.leaseDue(at: self.now, limit: 9).isEmpty)
        for seconds in [3_600, 7_200] {
            #expect(try await after.releaseHeld(.all) == 1)
            let moment = self.now + .seconds(seconds)
            let leased = try #require(try await after.leaseDue(at: moment, limit: 9).first)
            #expect(leased.interrupted == [0: "gmail"])
            #expect(leased.recipients.map(\.progress.deferredSince) == [moment])
            try await after.release(SampleQueue.id(1), recipients: [0], dueAt: moment)
            #expect(try await after.hold(.all) == 1)
        }
        await after.close()
        await store.close()
    }

    @Test("refuses to begin empty where a queue was: the database is gone")
    func databaseGone() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        await store.close()
        try FileManager.default.removeItem(atPath: self.fixture.database)
        #expect(failureText { _ = try self.fixture.open() }.contains("is missing or empty"))
        try FileManager.default.removeItem(atPath: self.fixture.directory + "/hikyaku.lock")
        let next = try self.fixture.open()
        await next.close()
    }

    @Test("refuses to go on without the write-ahead log of a crash")
    func logGone() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        await store.close()
        let next = try self.fixture.open()
        try await next.enqueue(SampleQueue.new(2))
        let crashed = try self.fixture.afterCrash()
        try FileManager.default.removeItem(atPath: crashed.database + "-wal")
        #expect(failureText { _ = try crashed.open() }.contains("write-ahead log is gone"))
        await next.close()
    }

    @Test("does not mistake a log that somebody moved into the database for a lost one")
    func logCheckpointedByHand() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        let crashed = try self.fixture.afterCrash()
        let shell = try DatabaseQueue(path: crashed.database)
        _ = try await shell.writeWithoutTransaction { try $0.checkpoint(.truncate) }
        try shell.close()
        let next = try crashed.open()
        #expect(try await next.messages(unfinishedOnly: true, limit: 9).count == 1)
        await next.close()
        await store.close()
    }

    @Test("refuses a damaged database with a clear message")
    func damaged() async throws {
        let store = try self.fixture.open()
        for number in Int64(1)...50 {
            try await store.enqueue(SampleQueue.new(number))
        }
        await store.close()
        let file = try #require(FileHandle(forUpdatingAtPath: self.fixture.database))
        let end = try file.seekToEnd()
        try file.seek(toOffset: 8 * 4_096)
        try file.write(contentsOf: Data(repeating: 0x55, count: Int(end) - 8 * 4_096))
        try file.close()
        #expect(failureText { _ = try self.fixture.open() }.contains("is damaged"))
    }

    @Test("has the migrations of its history in their order, to which new ones are only appended")
    func migrations() async throws {
        let store = try self.fixture.open()
        await store.close()
        let names = try await DatabaseQueue(path: self.fixture.database).read {
            try String.fetchAll($0, sql: "SELECT identifier FROM grdb_migrations ORDER BY rowid")
        }
        let history = [
            "2026-11-24 queue", "2026-11-24 breakers and answers", "2026-11-25 taken over", "2026-11-25 diagnoses",
            "2026-11-25 transport security", "2026-11-26 finished messages", "2026-11-26 told ends",
        ]
        #expect(names == history)
    }
}
