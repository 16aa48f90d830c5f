import Delivery
import Foundation
import MailModel
import TestKit
import Testing

@testable import Gateway

@Suite("Taking over the queue of Postfix")
struct TakeOverTests {
    let folder: GatewayFolder
    let spool: String

    init() throws {
        self.folder = try GatewayFolder()
        self.spool = self.folder.path + "/spool"
        for name in ["deferred/4", "hold/4", "incoming", "pid", "maildrop"] {
            try FileManager.default.createDirectory(atPath: "\(self.spool)/\(name)", withIntermediateDirectories: true)
        }
    }

    @Test("works without a running gateway, straight into the store, and keeps what was on hold")
    func withoutGateway() async throws {
        let first = try self.add("deferred/4/4jZHxB3Bngz2NKNH", QueueFileBuilder.sample())
        try self.add("hold/4/4jZHxB3Chzz2NKNJ", self.message { $0.add("R", "held@shop.test") })
        try self.add("deferred/4/4jZHxB3DDDz2NKNJ", self.message { $0.add("D", "served@shop.test") })
        let report = try await self.takeOver()
        #expect(Set(report.entries.map(\.state)) == [.takenOver, .finished])
        #expect(report.isComplete && !FileManager.default.fileExists(atPath: first))
        // Several are taken over at a time, in whatever order they end.
        let records = try await self.folder.records().sorted { $0.subject.count > $1.subject.count }
        #expect(records.map { $0.recipients.map(\.mailbox) } == [["ben@shop.test"], ["held@shop.test"]])
        #expect(records.map { $0.recipients.map(\.state) } == [[.waiting], [.held]])
        #expect(records.first?.subject == "hello")
        #expect(records.first?.submission.clientAddress == IPAddress("192.0.2.7"))
        #expect(try self.movedAside() == ["4jZHxB3Bngz2NKNH", "4jZHxB3Chzz2NKNJ", "4jZHxB3DDDz2NKNJ"])
    }

    @Test("is done once, though a file comes back")
    func onceEach() async throws {
        try self.add("deferred/4/4jZHxB3Bngz2NKNH", QueueFileBuilder.sample())
        _ = try await self.takeOver()
        try self.add("deferred/4/4jZHxB3Bngz2NKNH", QueueFileBuilder.sample())
        #expect(try await self.takeOver().entries.map(\.state) == [.takenOverBefore])
        #expect(try await self.folder.records().count == 1)
        #expect(try self.movedAside() == ["4jZHxB3Bngz2NKNH"])
    }

    @Test("keeps large contents in files, and removes those of messages that were known")
    func largeContent() async throws {
        let large = self.message { builder in
            builder.add("R", "big@shop.test")
        } content: { builder in
            for _ in 0..<300 {
                builder.add("N", [UInt8](repeating: 0x78, count: 2_000))
            }
        }
        try self.add("deferred/4/4jZHxB3Bngz2NKNH", large)
        _ = try await self.takeOver()
        try self.add("deferred/4/4jZHxB3Bngz2NKNH", large)
        _ = try await self.takeOver()
        #expect(try self.folder.contentFiles().count == 1)
        #expect(try await self.folder.records().map(\.size) == [300 * 2_002])
    }

    @Test("leaves alone what is damaged, unfinished, or no regular file, and changes nothing in a dry run")
    func leftAlone() async throws {
        var damaged = QueueFileBuilder.complete()
        damaged.add("S", "a@app.test")
        try self.add("deferred/4/4jZDAMAGEDz1", damaged)
        try self.add("incoming/4jZUNREADYz1", QueueFileBuilder.sample(), permissions: 0o600)
        let elsewhere = try self.add("elsewhere", QueueFileBuilder.sample())
        let link = "\(self.spool)/deferred/4/4jZLINKz1"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: elsewhere)
        try self.add("deferred/4/4jZWHOLEz1", QueueFileBuilder.sample())
        let preview = try TakeOver(of: self.spool, configuration: self.folder.configuration("")).preview()
        #expect(preview.entries.map(\.state) == [.leftAlone, .leftAlone, .leftAlone, .ready])
        #expect(preview.text.contains("<anna@app.test>  ben@shop.test"))
        #expect(!FileManager.default.fileExists(atPath: self.folder.data))
        let report = try await self.takeOver()
        #expect(!report.isComplete)
        #expect(report.entries.map(\.postfixID) == ["4jZUNREADYz1", "4jZDAMAGEDz1", "4jZLINKz1", "4jZWHOLEz1"])
        #expect(report.text.contains("damaged: it ends too early"))
    }

    @Test("refuses while Postfix holds the lock of its spool, unless it is forced")
    func running() async throws {
        try self.add("deferred/4/4jZHxB3Bngz2NKNH", QueueFileBuilder.sample())
        let path = "\(self.spool)/pid/master.pid"
        try "          4711\n".write(toFile: path, atomically: false, encoding: .utf8)
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        let failure = await #expect(throws: PostfixIsRunning.self) { try await self.takeOver() }
        #expect(failure?.description.contains("(process 4711)") == true)
        #expect(try await self.takeOver(isForced: true).entries.map(\.state) == [.takenOver])
    }

    @Test("says that a folder is no queue of Postfix")
    func noSpool() throws {
        let configuration = try self.folder.configuration("")
        #expect(throws: StartupFailure.self) { try TakeOver(of: "/nowhere", configuration: configuration) }
    }

    @Test(
        "counts expiry from the arrival, and anew when most of the time is gone",
        arguments: [(0, 96), (60, 36), (73, 96), (96, 96), (500, 96)]
    )
    func expiry(_ ageInHours: Int64, _ leftInHours: Int64) {
        let now = Timestamp(seconds: 1_795_607_278)
        let expiry = TakeOverIntake.expiry(
            of: now + .seconds(-3_600 * ageInHours),
            at: now,
            after: .seconds(96 * 3_600)
        )
        #expect(expiry - now == .seconds(3_600 * leftInHours))
    }

    private func takeOver(isForced: Bool = false) async throws -> TakeOverReport {
        try await TakeOver(of: self.spool, configuration: self.folder.configuration("")).run(isForced: isForced)
    }

    @discardableResult
    private func add(_ name: String, _ file: QueueFileBuilder, permissions: Int = 0o700) throws -> String {
        let path = "\(self.spool)/\(name)"
        try Data(file.bytes).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: permissions], ofItemAtPath: path)
        return path
    }

    private func message(
        _ envelope: (inout QueueFileBuilder) -> Void,
        content: (inout QueueFileBuilder) -> Void = { $0.add("N", "Subject: x") }
    ) -> QueueFileBuilder {
        var builder = QueueFileBuilder.complete()
        builder.add("T", "1795607278 1")
        builder.add("S", "anna@app.test")
        envelope(&builder)
        builder.add("M", "")
        content(&builder)
        builder.add("X", "")
        builder.add("E", "")
        return builder
    }

    private func movedAside() throws -> [String] {
        try ["deferred", "hold"].flatMap { queue in
            let path = "\(self.spool)/taken-over/\(queue)"
            return FileManager.default.fileExists(atPath: path)
                ? try FileManager.default.contentsOfDirectory(atPath: path) : []
        }.sorted()
    }
}
