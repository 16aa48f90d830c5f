import Delivery
import Foundation
import GRDB
import MailModel
import SQLiteStore
import Synchronization
import TestKit
import Testing

@Suite("The durability of the store")
struct DurabilityTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("has WAL and synchronous=FULL on the connection that commits, and no auto_vacuum")
    func pragmas() async throws {
        let store = try self.fixture.open()
        #expect(store.durability.description == "journal_mode=wal synchronous=2 auto_vacuum=0 secure_delete=2")
        await store.close()
    }

    @Test("acknowledges only after the flush of the write-ahead log, between whose write and flush it can be watched")
    func observesSync() async throws {
        let isAcknowledged = Mutex(false)
        let seen = Mutex<[Bool]>([])
        let store = try self.fixture.open {
            $0.beforeSync = { seen.withLock { $0.append(isAcknowledged.withLock(\.self)) } }
        }
        try await store.enqueue(SampleQueue.new(1))
        isAcknowledged.withLock { $0 = true }
        let before = seen.withLock(\.self)
        #expect(before.last == false)
        try await store.enqueue(SampleQueue.new(2))
        #expect(seen.withLock(\.self) == before + [true])
        await store.close()
    }

    @Test("lets nobody else read its files")
    func modes() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        for name in ["/hikyaku.db", "/hikyaku.db-wal", "/hikyaku.lock"] {
            #expect(try self.fixture.permissions(name) == 0o600, "\(name)")
        }
        #expect(try self.fixture.permissions("/content") == 0o700)
        await store.close()
    }

    @Test("shares a commit among all that arrived while the last one ran")
    func groupCommit() async throws {
        let store = try self.fixture.open()
        let before = store.counters
        let kinds = try await self.enqueueTogether(1...100, in: store)
        #expect(kinds.isEmpty)
        let after = store.counters
        #expect(after.works - before.works == 100)
        // One that the lock held up, perhaps with few works in it, and one for all the others.
        #expect(after.commits - before.commits <= 2)
        #expect(try await store.messages(unfinishedOnly: true, limit: 1_000).count == 100)
        await store.close()
    }

    @Test("refuses one of many messages without harm to its neighbours")
    func neighbours() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(7))
        #expect(try await self.enqueueTogether(1...20, in: store) == [7: .broken])
        #expect(try await store.messages(unfinishedOnly: true, limit: 100).count == 20)
        await store.close()
    }

    @Test("answers full when there is no room, and goes on when there is")
    func full() async throws {
        let store = try self.fixture.open { $0.maximumPages = 60 }
        var accepted: [QueueID] = []
        var refused: StoreFailure.Kind?
        for number in Int64(1)...200 where refused == nil {
            refused = await failureKind { try await store.enqueue(self.large(number)) }
            if refused == nil {
                accepted.append(SampleQueue.id(number))
            }
        }
        #expect(refused == .full)
        #expect(!accepted.isEmpty)
        #expect(try await store.messages(unfinishedOnly: true, limit: 1_000).map(\.id) == accepted)
        #expect(try await store.delete(.all, at: self.now) == accepted.count)
        try await store.enqueue(self.large(500))
        await store.close()
    }

    @Test("answers busy after a bounded wait when somebody else holds the lock, and recovers")
    func busy() async throws {
        let store = try self.fixture.open { $0.busyTimeout = .milliseconds(50) }
        let other = try self.fixture.stranger()
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN EXCLUSIVE") }
        #expect(await failureKind { try await store.enqueue(SampleQueue.new(1)) } == .busy)
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        try await store.enqueue(SampleQueue.new(1))
        await store.close()
    }

    @Test("refuses at once what is more than may wait")
    func capacity() async throws {
        let store = try self.fixture.open { $0.capacity = 0 }
        #expect(await failureKind { try await store.enqueue(SampleQueue.new(1)) } == .busy)
        await store.close()
    }

    @Test("commits what was handed in before closing, and refuses what comes after")
    func close() async throws {
        let store = try self.fixture.open()
        let results = Mutex<[Bool]>([])
        for number in Int64(1)...50 {
            store.enqueue(SampleQueue.new(number)) { result in
                results.withLock { $0.append((try? result.get()) != nil) }
            }
        }
        await store.close()
        #expect(results.withLock { $0 } == Array(repeating: true, count: 50))
        #expect(await failureKind { try await store.enqueue(SampleQueue.new(51)) } == .closed)
        #expect(!FileManager.default.fileExists(atPath: self.fixture.database + "-wal"))
        let again = try self.fixture.open()
        #expect(try await again.messages(unfinishedOnly: true, limit: 100).count == 50)
        await again.close()
    }

    @Test("keeps the write-ahead log short under load")
    func checkpoints() async throws {
        let store = try self.fixture.open { $0.checkpointFrames = 50 }
        for number in Int64(1)...100 {
            try await store.enqueue(self.large(number))
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: self.fixture.database + "-wal")
        // A hundred messages of 16 KiB fill 500 pages and more.
        #expect((attributes[.size] as? Int ?? .max) < 150 * 4_096)
        await store.close()
    }

    /// Hands in messages while somebody holds the write lock, lets go of it, and returns those that failed.
    private func enqueueTogether(
        _ numbers: ClosedRange<Int64>,
        in store: MessageStore
    ) async throws -> [Int64: StoreFailure.Kind] {
        let stranger = try self.fixture.stranger()
        try await stranger.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        let (results, continuation) = AsyncStream.makeStream(of: (Int64, StoreFailure.Kind?).self)
        for number in numbers {
            store.enqueue(SampleQueue.new(number)) { result in
                switch result {
                case .success: continuation.yield((number, nil))
                case .failure(let failure): continuation.yield((number, failure.kind))
                }
            }
        }
        try await stranger.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        return await results.prefix(numbers.count).reduce(into: [:]) { $0[$1.0] = $1.1 }
    }

    private func large(_ number: Int64) -> NewMessage {
        var new = SampleQueue.new(number)
        new.message = SampleQueue.message(number, content: String(repeating: "x", count: 16_384))
        return new
    }
}
