import Delivery
import Foundation
import MailModel
import NIOCore
import SQLiteStore
import TestKit
import Testing

@Suite("Retention of the history")
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

    @Test("by age asks when a message was finished, whatever its id says of a clock that was wrong")
    func age() async throws {
        let store = try self.fixture.open()
        let wrong = Int64(10 * 365 * 86_400 * 1_000) << 14
        let ends = [wrong + 1: 30, wrong + 2: 10, 1: 20, wrong + 3: 40].mapValues { self.now + .seconds($0) }
        for (number, end) in ends {
            try await store.enqueue(SampleQueue.new(number))
            var result = SampleQueue.delivered(SampleQueue.start(1, of: number))
            result.finishedAt = end
            try await store.finish(result)
        }
        try await store.enqueue(SampleQueue.new(2))
        #expect(try await store.purgeFinished(before: self.now + .seconds(30), limit: 1) == 1)
        #expect(try await store.message(SampleQueue.id(wrong + 2)) == nil, "it was finished first")
        #expect(try await store.purgeFinished(before: self.now + .seconds(30), limit: 9) == 1)
        #expect(try await store.purgeFinished(before: self.now + .seconds(30), limit: 9) == 0)
        let left = try await store.messages(unfinishedOnly: false, limit: 9).map(\.id)
        #expect(Set(left) == Set([2, wrong + 1, wrong + 3].map(SampleQueue.id)))
        #expect(try await store.purgeFinished(before: self.now + .seconds(60), limit: 9) == 2)
        await store.close()
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
