import Delivery
import GRDB
import MailModel
import SQLiteStore
import TestKit
import Testing

@Suite("What is leased and cannot be read")
struct UnreadableTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("is given back when the store can be written again, and nothing else of its message")
    func givesBack() async throws {
        let store = try self.fixture.open()
        let start = SampleQueue.start(1, of: 1, recipients: [0])
        try await store.enqueue(SampleQueue.new(1, recipients: 2, firstAttempts: [start]))
        try await self.refusing(state: 1) {
            try self.change("ALTER TABLE contents RENAME TO away")
            #expect(await failureKind { _ = try await store.leaseDue(at: self.now, limit: 9) } == .broken)
            try self.change("ALTER TABLE away RENAME TO contents")
            #expect(await failureKind { _ = try await store.leaseDue(at: self.now, limit: 9) } == .broken)
            #expect(try await store.leasedCount(.all) == 2)
        }
        let leased = try await store.leaseDue(at: self.now, limit: 9)
        #expect(leased.map { $0.recipients.map(\.number) } == [[1]], "the other one is under way")
        await store.close()
    }

    @Test("is held when the store can be written again, if it never can be read")
    func holds() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        try await store.enqueue(SampleQueue.new(2))
        try self.change("DELETE FROM contents WHERE message = \(SampleQueue.id(1).number)")
        try await self.refusing(state: 2) {
            let leased = try await store.leaseDue(at: self.now, limit: 9)
            #expect(leased.map(\.message.id) == [SampleQueue.id(2)])
            #expect(try await store.message(SampleQueue.id(1))?.recipients.map(\.state) == [.active])
        }
        #expect(try await store.leaseDue(at: self.now, limit: 9).isEmpty)
        let recipient = try await store.message(SampleQueue.id(1))?.recipients.first
        #expect(recipient?.state == .held)
        #expect(recipient?.lastFailure == "the content is missing from the store")
        await store.close()
    }

    /// Lets no recipient come into a state while the body runs, as a disk may that takes some writes and refuses others.
    private func refusing(state: Int, _ body: () async throws -> Void) async throws {
        try self.change(
            """
            CREATE TRIGGER refusal BEFORE UPDATE ON recipients WHEN NEW.state = \(state)
            BEGIN SELECT RAISE(ABORT, 'refused'); END
            """
        )
        try await body()
        try self.change("DROP TRIGGER refusal")
    }

    private func change(_ sql: String) throws {
        let stranger = try self.fixture.stranger()
        try stranger.writeWithoutTransaction { try $0.execute(sql: sql) }
        try stranger.close()
    }
}
