import Delivery
import Foundation
import GRDB
import Logging
import MailModel
import NIOCore
import SQLiteStore
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

@Suite("Looking after a store")
struct MaintenanceTests {
    let fixture: StoreFixture
    let now = SampleQueue.moment

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test("a check finds nothing in a sound store, while it is in use, after a crash and after closing")
    func sound() async throws {
        let store = try await self.filled()
        let inUse = StoreCheck.run(self.fixture.directory)
        #expect(inUse.text.contains("is sound: 4 messages, 3 of them unfinished, 1 content files"))
        #expect(inUse.isInUse)
        let crashed = try self.fixture.afterCrash()
        #expect(StoreCheck.run(crashed.directory).problems == [])
        await store.close()
        let closed = StoreCheck.run(self.fixture.directory)
        #expect(closed.isSound && !closed.isInUse && closed.notes.isEmpty)
    }

    @Test("a check names contents that are missing or cut off, and references to nothing")
    func references() async throws {
        let store = try await self.filled()
        try FileManager.default.removeItem(atPath: self.fixture.contentFile(9))
        try await self.fixture.stranger().writeWithoutTransaction { database in
            try database.execute(
                sql: """
                    DELETE FROM messages WHERE id = \(SampleQueue.id(1).number);
                    UPDATE contents SET content = x'00' WHERE message = \(SampleQueue.id(2).number);
                    DELETE FROM recipients WHERE message = \(SampleQueue.id(2).number);
                    """
            )
        }
        await store.close()
        let problems = StoreCheck.run(self.fixture.directory).problems
        let first = SampleQueue.id(1)
        #expect(
            problems == [
                "recipients of \(first) are there without their message",
                "contents of \(first) are there without their message",
                "\(SampleQueue.id(2)) is unfinished and has no recipient left",
                "the content of \(SampleQueue.id(2)) has 1 octets and should have 25",
                "the content of \(SampleQueue.id(9)) is missing; the message is held when it is due",
            ]
        )
    }

    @Test("a check calls files of no message harmless")
    func strays() async throws {
        let store = try await self.filled()
        try store.contentFiles.create(for: SampleQueue.id(77)).finish()
        await store.close()
        let report = StoreCheck.run(self.fixture.directory)
        #expect(report.isSound)
        #expect(report.notes.count == 1)
    }

    @Test("a check of what is no store, or of one whose database is gone, says so")
    func nothing() async throws {
        #expect(StoreCheck.run(self.fixture.directory + "/none").problems.first?.contains("there is no queue") == true)
        await (try self.filled()).close()
        try FileManager.default.removeItem(atPath: self.fixture.database)
        #expect(StoreCheck.run(self.fixture.directory).problems.first?.contains("is missing or empty") == true)
    }

    @Test("one damaged page is refused at start and found by the check, which both name the file", arguments: 1...12)
    func damagedPage(_ page: UInt64) async throws {
        let store = try self.fixture.open()
        for number in Int64(1)...30 {
            try await store.enqueue(SampleQueue.new(number))
        }
        await store.close()
        try self.fixture.overwrite("/hikyaku.db", at: page * 4_096, count: 4_096)
        let report = StoreCheck.run(self.fixture.directory)
        let refusal = failureText { _ = try self.fixture.open() }
        #expect(report.problems.contains { $0.contains(self.fixture.database) })
        #expect(refusal.contains(self.fixture.database) && refusal.contains("hikyaku store check"))
    }

    @Test(
        "a write-ahead log that was cut off is refused, and the check says how much is gone",
        arguments: [0.2, 0.5, 0.95]
    )
    func logCutOff(_ share: Double) async throws {
        let (store, crashed) = try await self.crashedWithLog()
        let log = try #require(FileHandle(forUpdatingAtPath: crashed.database + "-wal"))
        try log.truncate(atOffset: UInt64(Double(try log.seekToEnd()) * share))
        try self.expectRefusal(crashed, "pages that had been committed to it can be read")
        await store.close()
    }

    @Test("a write-ahead log with other octets in it is refused", arguments: [UInt64(0), 40_000])
    func logOverwritten(_ offset: UInt64) async throws {
        let (store, crashed) = try await self.crashedWithLog()
        try crashed.overwrite("/hikyaku.db-wal", at: offset, count: 1_000)
        try self.expectRefusal(crashed, "is damaged: ")
        await store.close()
    }

    @Test("what a crash leaves half-written at the end of the log is no damage")
    func tornTail() async throws {
        let (store, crashed) = try await self.crashedWithLog()
        let log = try #require(FileHandle(forUpdatingAtPath: crashed.database + "-wal"))
        try log.seekToEnd()
        try log.write(contentsOf: Data(repeating: 0x55, count: 6_000))
        #expect(StoreCheck.run(crashed.directory).isSound)
        let next = try crashed.open()
        #expect(try await next.messages(unfinishedOnly: true, limit: 99).count == 20)
        await next.close()
        await store.close()
    }

    @Test("a copy made beside a running gateway is whole, can be started, and is not the original")
    func backup() async throws {
        let store = try await self.filled()
        let target = self.fixture.directory + "/copies/one"
        let report = try StoreBackup.run(from: self.fixture.directory, to: target)
        #expect(report.text.contains("is sound: 4 messages, 3 of them unfinished, 1 content files"))
        try await store.finish(SampleQueue.delivered(SampleQueue.start(5, of: 9)))
        #expect(!FileManager.default.fileExists(atPath: self.fixture.contentFile(9)))
        await store.close()

        let copy = try MessageStore.open(MessageStore.Configuration(directory: target), logger: .noOp)
        #expect(try await copy.leaseDue(at: self.now, limit: 9).count == 3)
        guard case .file(let path) = try await copy.content(of: SampleQueue.id(9)).storage else {
            Issue.record("the content is not in its file")
            return
        }
        #expect(path.hasPrefix(target))
        #expect(FileManager.default.contents(atPath: path)?.count == 300_000)
        await copy.close()
        #expect(
            failureText { _ = try StoreBackup.run(from: self.fixture.directory, to: target) }.contains("there already")
        )
        #expect(try FileManager.default.contentsOfDirectory(atPath: self.fixture.directory + "/copies") == ["one"])
    }

    @Test("a copy is taken while messages come and go, large ones too, and has every content of its moment")
    func backupUnderLoad() async throws {
        let store = try self.fixture.open()
        let load = Task {
            for number in Int64(1)...400 where !Task.isCancelled {
                try await store.enqueue(try self.large(number, in: store))
                try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: number)))
            }
        }
        for number in 1...5 {
            let report = try StoreBackup.run(
                from: self.fixture.directory,
                to: self.fixture.directory + "/copy\(number)"
            )
            #expect(report.problems == [])
        }
        load.cancel()
        try await load.value
        await store.close()
    }

    @Test("a copy of a store in which a content is missing is made, and its check tells")
    func backupOfDamage() async throws {
        let store = try await self.filled()
        try FileManager.default.removeItem(atPath: self.fixture.contentFile(9))
        let report = try StoreBackup.run(from: self.fixture.directory, to: self.fixture.directory + "/copy")
        #expect(
            report.problems == ["the content of \(SampleQueue.id(9)) is missing; the message is held when it is due"]
        )
        #expect(report.messages == 4)
        await store.close()
    }

    @Test("free pages are given back, and not while a gateway runs")
    func compact() async throws {
        let store = try self.fixture.open()
        for number in Int64(1)...40 {
            var new = SampleQueue.new(number)
            new.message = SampleQueue.message(number, content: String(repeating: "x", count: 16_384))
            try await store.enqueue(new)
        }
        _ = try await store.delete(.message(SampleQueue.id(40)), at: self.now)
        for number in Int64(1)...30 {
            try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: number)))
        }
        let busy = failureText { _ = try StoreCompaction.run(self.fixture.directory, logger: .noOp) }
        #expect(busy.contains("in use by process"))
        await store.close()
        let result = try StoreCompaction.run(self.fixture.directory, logger: .noOp)
        #expect(result.after < result.before / 2)
        #expect(StoreCheck.run(self.fixture.directory).isSound)
        let next = try self.fixture.open()
        #expect(try await next.messages(unfinishedOnly: true, limit: 99).count == 9)
        await next.close()
    }

    @Test("compacts by a file beside the database, since a large copy has no room in memory")
    func compactsOnDisk() async throws {
        let store = try self.fixture.open()
        for number in Int64(1)...60 {
            var new = SampleQueue.new(number)
            new.message = SampleQueue.message(number, content: String(repeating: "x", count: 250_000))
            try await store.enqueue(new)
        }
        await store.close()
        let watch = inotify_init1(Int32(IN_NONBLOCK))
        defer { close(watch) }
        #expect(inotify_add_watch(watch, self.fixture.directory, UInt32(IN_CREATE)) >= 0)
        _ = try StoreCompaction.run(self.fixture.directory, logger: .noOp)
        var events = [UInt8](repeating: 0, count: 65_536)
        let count = read(watch, &events, events.count)
        #expect(String(decoding: events.prefix(max(0, count)), as: UTF8.self).contains("etilqs_"))
    }

    // MARK: Stores

    /// Four messages: three small ones, of which one is delivered, and a large one.
    private func filled() async throws -> MessageStore {
        let store = try self.fixture.open()
        for number in Int64(1)...3 {
            try await store.enqueue(SampleQueue.new(number))
        }
        try await store.finish(SampleQueue.delivered(SampleQueue.start(1, of: 3)))
        try await store.enqueue(try self.large(9, in: store))
        return store
    }

    private func large(_ number: Int64, in store: MessageStore) throws -> NewMessage {
        let file = try store.contentFiles.create(for: SampleQueue.id(number))
        try file.append(ByteBuffer(repeating: 0x61, count: 300_000))
        try file.finish()
        var new = SampleQueue.new(number)
        let content = MessageContent(size: file.size, isEightBit: false, storage: .file(path: file.path))
        new.message = SampleQueue.message(number, content: content)
        return new
    }

    /// What a crash leaves when all that was committed is in the log.
    private func crashedWithLog() async throws -> (MessageStore, StoreFixture) {
        let store = try self.fixture.open()
        for number in Int64(1)...20 {
            try await store.enqueue(SampleQueue.new(number))
        }
        return (store, try self.fixture.afterCrash())
    }

    private func expectRefusal(_ crashed: StoreFixture, _ text: String) throws {
        let log = crashed.database + "-wal"
        let report = StoreCheck.run(crashed.directory)
        #expect(report.problems.contains { $0.contains(log) && $0.contains(text) }, "\(report.text)")
        let again = try crashed.afterCrash()
        let refusal = failureText { _ = try again.open() }
        #expect(refusal.contains(again.database + "-wal") && refusal.contains(text), "\(refusal)")
    }
}

extension Logger {
    fileprivate static var noOp: Logger {
        Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    }
}

extension StoreFixture {
    fileprivate func contentFile(_ number: Int64) -> String {
        "\(self.directory)/content/\(SampleQueue.id(number)).eml"
    }

    fileprivate func overwrite(_ name: String, at offset: UInt64, count: Int) throws {
        guard let file = FileHandle(forUpdatingAtPath: self.directory + name) else {
            throw CocoaError(.fileNoSuchFile)
        }
        try file.seek(toOffset: offset)
        try file.write(contentsOf: Data(repeating: 0x55, count: count))
        try file.close()
    }
}
