import Delivery
import Foundation
import MailModel
import NIOCore
import SQLiteStore
import TestKit
import Testing

@Suite("History by its size")
struct RetentionTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("goes oldest first, in batches with pauses, and only until it fits")
    func trims() async throws {
        let store = try await self.filled()
        let used = try await store.usedOctets()
        let pauses = Counter()
        let count = try await store.trimHistory(to: used * 3 / 4, batch: 10) { pauses.value += 1 }
        #expect(pauses.value == count / 10)
        #expect((40..<160).contains(count))
        #expect(try await store.usedOctets() <= used * 3 / 4)
        let left = try await store.messages(unfinishedOnly: false, limit: 1_000).map(\.id)
        // The first one is unfinished; of the others the first have gone.
        #expect(left == [SampleQueue.id(1)] + (Int64(count + 2)...200).map { SampleQueue.id($0) })
        #expect(try await store.trimHistory(to: used, batch: 10) {} == 0)
        await store.close()
        #expect(StoreCheck.run(self.fixture.directory).isSound)
    }

    @Test("never takes what is unfinished, however large that is")
    func unfinished() async throws {
        let store = try await self.filled()
        #expect(try await store.trimHistory(to: 0, batch: 50) {} == 199)
        #expect(try await store.messages(unfinishedOnly: false, limit: 9).map(\.id) == [SampleQueue.id(1)])
        await store.close()
    }

    @Test("counts kept content files, and removes them with their messages")
    func files() async throws {
        let store = try self.fixture.open { $0.keepContent = true }
        for number in Int64(1)...4 {
            let file = try store.contentFiles.create(for: SampleQueue.id(number))
            try file.append(ByteBuffer(repeating: 0x61, count: 1_000_000))
            try file.finish()
            var new = SampleQueue.new(number)
            let content = MessageContent(size: file.size, isEightBit: false, storage: .file(path: file.path))
            new.message = SampleQueue.message(number, content: content)
            try await store.enqueue(new)
            try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: number)))
        }
        #expect(try await store.usedOctets() > 4_000_000)
        #expect(try await store.trimHistory(to: 2_500_000, batch: 1) {} == 2)
        #expect(try FileManager.default.contentsOfDirectory(atPath: self.fixture.directory + "/content").count == 2)
        await store.close()
    }

    /// Two hundred messages, all of them delivered but the first.
    private func filled() async throws -> MessageStore {
        let store = try self.fixture.open()
        for number in Int64(1)...200 {
            var new = SampleQueue.new(number)
            new.message = SampleQueue.message(number, content: "Subject: x\r\n\r\nx\r\n")
            try await store.enqueue(new)
            if number > 1 {
                try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: number)))
            }
        }
        return store
    }
}

/// Counts on one task.
private final class Counter {
    var value = 0
}
