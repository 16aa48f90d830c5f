import Delivery
import Foundation
import MailModel
import NIOCore
import SQLiteStore
import TestKit
import Testing

@Suite("Large contents")
struct ContentFilesTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("are files that come with their message and go when it is finished")
    func life() async throws {
        let store = try self.fixture.open()
        let path = try await self.enqueueLarge(1, in: store)
        let leased = try #require(try await store.leaseDue(at: self.now, limit: 9).first)
        guard case .file(path) = leased.message.content.storage else {
            Issue.record("the content is not in its file")
            return
        }
        #expect(leased.message.content.size == 600_000)
        #expect(FileManager.default.contents(atPath: path)?.count == 600_000)
        try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: 1)))
        #expect(!FileManager.default.fileExists(atPath: path))
        await store.close()
    }

    @Test("are removed with a refusal, and when their writing is given up")
    func refused() async throws {
        let store = try self.fixture.open()
        try await store.enqueue(SampleQueue.new(1))
        #expect(await failureKind { _ = try await self.enqueueLarge(1, in: store) } == .broken)
        do {
            let file = try store.contentFiles.create(for: SampleQueue.id(2))
            try file.append(ByteBuffer(string: "half"))
        }
        #expect(try self.files() == [])
        await store.close()
    }

    @Test("without a message are removed at the next start, and those of messages are kept")
    func orphans() async throws {
        let store = try self.fixture.open()
        let path = try await self.enqueueLarge(1, in: store)
        try store.contentFiles.create(for: SampleQueue.id(2)).finish()
        await store.close()
        #expect(try self.files().count == 2)
        let next = try self.fixture.open()
        #expect(try self.files() == [URL(fileURLWithPath: path).lastPathComponent])
        await next.close()
    }

    @Test("that are missing hold their message, and stop no other")
    func missing() async throws {
        let store = try self.fixture.open()
        try FileManager.default.removeItem(atPath: try await self.enqueueLarge(1, in: store))
        try await store.enqueue(SampleQueue.new(2))
        #expect(await failureKind { _ = try await store.content(of: SampleQueue.id(1)) } == .missing)
        #expect(try await store.leaseDue(at: self.now, limit: 9).map(\.message.id) == [SampleQueue.id(2)])
        let recipient = try #require(try await store.message(SampleQueue.id(1))?.recipients.first)
        #expect(recipient.state == .held)
        #expect(recipient.lastFailure == "the content is missing from the store")
        await store.close()
    }

    @Test("that lie in a damaged page hold their message, and stop no other")
    func damaged() async throws {
        let store = try self.fixture.open()
        let octets = [UInt8](repeating: 0x71, count: 100_000)
        var long = SampleQueue.new(1)
        long.message = SampleQueue.message(
            1,
            content: MessageContent(size: octets.count, isEightBit: false, storage: .memory(ByteBuffer(bytes: octets)))
        )
        try await store.enqueue(long)
        try await store.enqueue(SampleQueue.new(2))
        await store.close()
        let next = try self.fixture.open()
        try self.damageContentPage()
        #expect(try await next.leaseDue(at: self.now, limit: 9).map(\.message.id) == [SampleQueue.id(2)])
        let recipient = try #require(try await next.message(SampleQueue.id(1))?.recipients.first)
        #expect(recipient.state == .held)
        #expect(recipient.lastFailure == "the content is damaged in the store: see `hikyaku store check`")
        await next.close()
    }

    /// Writes zeros over the third page that holds nothing but content.
    private func damageContentPage() throws {
        let file = try #require(FileHandle(forUpdatingAtPath: self.fixture.database))
        let pages = try #require(try file.readToEnd())
        let content = stride(from: 0, to: pages.count, by: 4_096)
            .filter { pages[$0..<($0 + 4_096)].count { $0 == 0x71 } > 4_000 }
        try file.seek(toOffset: UInt64(try #require(content.dropFirst(2).first)))
        try file.write(contentsOf: Data(count: 4_096))
        try file.close()
    }

    @Test("must be the file that was made for their message")
    func foreign() async throws {
        let store = try self.fixture.open()
        var new = SampleQueue.new(1)
        new.message = SampleQueue.message(
            1,
            content: MessageContent(size: 1, isEightBit: false, storage: .file(path: "/etc/passwd"))
        )
        let foreign = new
        #expect(await failureKind { try await store.enqueue(foreign) } == .missing)
        await store.close()
    }

    private func enqueueLarge(_ number: Int64, in store: MessageStore) async throws -> String {
        let file = try store.contentFiles.create(for: SampleQueue.id(number))
        try file.append(ByteBuffer(repeating: 0x61, count: 300_000))
        try file.append(ByteBuffer(repeating: 0x62, count: 300_000))
        try file.finish()
        var new = SampleQueue.new(number)
        new.message = SampleQueue.message(
            number,
            content: MessageContent(size: file.size, isEightBit: false, storage: .file(path: file.path))
        )
        try await store.enqueue(new)
        return file.path
    }

    private func files() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: self.fixture.directory + "/content")
    }
}
