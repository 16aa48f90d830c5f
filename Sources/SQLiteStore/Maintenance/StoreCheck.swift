import Delivery
import Foundation
import MailModel

/// What was found when a store was looked at: sentences for the operator, and the counts behind them.
package struct StoreCheckReport: Encodable, Sendable {
    /// What was looked at.
    package let directory: String
    /// Whether a gateway was running on it.
    package internal(set) var isInUse = false
    package internal(set) var messages = 0
    package internal(set) var unfinished = 0
    package internal(set) var contentFiles = 0
    /// What is wrong and costs mail or history.
    package internal(set) var problems: [String] = []
    /// What is worth knowing and harmless.
    package internal(set) var notes: [String] = []

    /// Whether nothing is wrong.
    package var isSound: Bool {
        self.problems.isEmpty
    }

    /// All of it, for people.
    package var text: String {
        let counts =
            "\(self.messages) messages, \(self.unfinished) of them unfinished, \(self.contentFiles) content files"
        let verdict =
            self.isSound
            ? "The store \(self.directory) is sound: \(counts)."
            : "The store \(self.directory) is damaged: \(counts)."
        return ([verdict] + self.problems.map { "  damaged: \($0)" } + self.notes.map { "  note: \($0)" })
            .joined(separator: "\n")
    }
}

/// Looks at everything in a store without changing it, beside a running gateway or without one.
package struct StoreCheck {
    /// The most findings of one kind that are listed one by one.
    private static let listed = 20

    private let directory: StoreDirectory
    private var report: StoreCheckReport

    /// Checks the store in a directory; blocks for as long as reading all of it takes.
    package static func run(_ directory: String) -> StoreCheckReport {
        let directory = StoreDirectory(directory)
        var check = StoreCheck(directory: directory, report: StoreCheckReport(directory: directory.path))
        check.run()
        return check.report
    }

    private mutating func run() {
        guard exists(self.directory.contents) || exists(self.directory.database) else {
            self.report.problems.append("there is no queue at \(self.directory.database)")
            return
        }
        let memory = StoreLock.memory(self.directory.lock)
        self.report.isInUse = memory?.isHeld ?? false
        do {
            try self.directory.checkNothingIsLost(generation: memory?.last.generation ?? 0)
            if !self.report.isInUse {
                try self.directory.checkLogIsWhole(since: memory?.last.mark)
            }
        } catch {
            self.report.problems.append(error.description)
        }
        guard size(self.directory.database) > 0 else {
            if self.report.isSound {
                self.report.problems.append("there is no queue at \(self.directory.database)")
            }
            return
        }
        do throws(StoreFailure) {
            let reader = try HistoryReader(self.directory, besideWriter: self.report.isInUse)
            defer { reader.close() }
            self.step { try $0.checkPages(reader) }
            self.step { try $0.checkGeneration(reader, memory?.last.generation ?? 0) }
            self.step { try $0.count(reader) }
            self.step { try $0.checkReferences(reader) }
            self.step { try $0.checkContents(reader) }
            self.step { try $0.checkContentFiles(reader) }
        } catch {
            self.report.problems.append(error.description)
        }
    }

    /// Runs one part of the check; what it cannot read is a finding and keeps no other part from its work.
    private mutating func step(_ body: (inout StoreCheck) throws -> Void) {
        do {
            try body(&self)
        } catch {
            let text = "cannot read \(self.directory.database): \(StoreFailure(error))"
            if !self.report.problems.contains(text) {
                self.report.problems.append(text)
            }
        }
    }

    private mutating func checkPages(_ reader: HistoryReader) throws {
        let answers = try reader.readNow { connection in
            try connection.rows("PRAGMA integrity_check(\(Self.listed))") { $0.text(0) }
                + connection.rows("PRAGMA foreign_key_check", limit: Self.listed) { row in
                    "row \(row.integer(1)) of \(row.text(0)) refers to nothing in \(row.text(2))"
                }
        }
        self.report.problems += answers.filter { $0 != "ok" }.map { "\(self.directory.database): \($0)" }
    }

    private mutating func checkGeneration(_ reader: HistoryReader, _ remembered: Int64) throws {
        let meta = "SELECT value FROM meta WHERE key = 'generation'"
        let generation = try reader.readNow { try $0.first(meta) { $0.integer(0) } } ?? 0
        if !self.report.isInUse, generation < remembered {
            self.report.problems.append(
                "the database is older than the last run left it (\(generation) < \(remembered)): its write-ahead log is gone"
            )
        }
    }

    private mutating func count(_ reader: HistoryReader) throws {
        let sql = "SELECT count(*), count(*) FILTER (WHERE finished_at IS NULL) FROM messages"
        let counts = try reader.readNow { try $0.first(sql) { ($0.integer(0), $0.integer(1)) } }
        self.report.messages = Int(counts?.0 ?? 0)
        self.report.unfinished = Int(counts?.1 ?? 0)
    }

    /// Rows that belong to a message that is not there, and messages to nobody.
    private mutating func checkReferences(_ reader: HistoryReader) throws {
        for table in ["recipients", "attempts", "contents"] {
            let sql = "SELECT DISTINCT message FROM \(table) WHERE message NOT IN (SELECT id FROM messages)"
            let ids = try reader.readNow { try $0.rows(sql) { $0.integer(0) } }
            self.list(ids.map { "\(table) of \(QueueID(number: $0)) are there without their message" })
        }
        let sql = """
            SELECT id FROM messages WHERE finished_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM recipients WHERE message = id AND state <= 2)
            """
        let ids = try reader.readNow { try $0.rows(sql) { $0.integer(0) } }
        self.list(ids.map { "\(QueueID(number: $0)) is unfinished and has no recipient left" })
    }

    /// Contents in the database that are missing or of another length than their message says.
    private mutating func checkContents(_ reader: HistoryReader) throws {
        let sql = """
            SELECT id, size, length(content) FROM messages LEFT JOIN contents ON message = id
            WHERE NOT flags & 8 AND (finished_at IS NULL OR content IS NOT NULL) AND length(content) IS NOT size
            """
        let found = try reader.readNow { connection in
            try connection.rows(sql) {
                Content(id: QueueID(number: $0.integer(0)), size: $0.integer(1), there: $0.optionalInteger(2))
            }
        }
        self.list(found.map(\.sentence))
    }

    /// Content files that are missing, of another length, or of no message.
    private mutating func checkContentFiles(_ reader: HistoryReader) throws {
        var damaged = try self.damagedFiles(reader)
        if self.report.isInUse, !damaged.isEmpty {
            // What was delivered meanwhile took its file along.
            let again = Set(try self.damagedFiles(reader).map(\.id))
            damaged.removeAll { !again.contains($0.id) }
        }
        self.list(damaged.map(\.sentence))
        let files = try self.directory.contentFiles()
        self.report.contentFiles = files.count
        let sql = "SELECT 1 FROM messages WHERE id = ? AND flags & 8"
        let strays = try reader.readNow { connection in
            try files.filter { try connection.first(sql, [.integer($0.id.number)], { _ in true }) == nil }.count
        }
        if strays > 0, !self.report.isInUse {
            self.report.notes.append(
                "\(strays) content files belong to no message, as a crash leaves them; the next start removes them"
            )
        }
    }

    private func damagedFiles(_ reader: HistoryReader) throws -> [Content] {
        let sql = "SELECT id, size FROM messages WHERE flags & 8 AND finished_at IS NULL"
        let wanted = try reader.readNow { connection in
            try connection.rows(sql) { Content(id: QueueID(number: $0.integer(0)), size: $0.integer(1), there: nil) }
        }
        return wanted.compactMap { content in
            var content = content
            let path = self.directory.contentFile(of: content.id)
            content.there = exists(path) ? Int64(size(path)) : nil
            return content.there == content.size ? nil : content
        }
    }

    private mutating func list(_ problems: [String]) {
        self.report.problems += problems.prefix(Self.listed)
        if problems.count > Self.listed {
            self.report.problems.append("and \(problems.count - Self.listed) more of this kind")
        }
    }
}

/// What there is of the content of one message.
private struct Content {
    let id: QueueID
    let size: Int64
    var there: Int64?

    var sentence: String {
        guard let there else {
            return "the content of \(self.id) is missing; the message is held when it is due"
        }
        return "the content of \(self.id) has \(there) octets and should have \(self.size)"
    }
}
