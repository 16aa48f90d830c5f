package import Delivery
import Foundation
import GRDB
import MailModel

/// Copies a store to a directory that a gateway can be started on, beside a running gateway or without one.
///
/// The database is one snapshot. Contents in files are linked, or copied to another file system, at the moment of the
/// snapshot; one that is delivered in that very moment has the snapshot taken again. Nothing bears the name of the copy
/// before all of it is on the disk.
package struct StoreBackup {
    /// How often a snapshot is taken before contents that are not there are taken for lost, not for just delivered.
    private static let rounds = 20

    private let source: StoreDirectory
    private let target: StoreDirectory
    /// Where the copy is made before it gets its name.
    private let draft: StoreDirectory

    /// Copies the store to a path at which nothing is yet, and returns what a check of the copy found.
    ///
    /// Throws a sentence for the operator when that cannot be done; then nothing is left at the path.
    package static func run(from source: String, to target: String) throws(StoreFailure) -> StoreCheckReport {
        let backup = StoreBackup(source: StoreDirectory(source), target: StoreDirectory(target))
        guard !exists(backup.target.path) else {
            throw StoreFailure(.broken, "\(backup.target.path) is there already; name a directory that is not")
        }
        do {
            try backup.copy()
        } catch {
            // What is left of the draft costs room and nothing else; the reason is what matters.
            try? FileManager.default.removeItem(atPath: backup.draft.path)
            throw StoreFailure(error)
        }
        return StoreCheck.run(backup.target.path)
    }

    private init(source: StoreDirectory, target: StoreDirectory) {
        self.source = source
        self.target = target
        self.draft = StoreDirectory("\(target.path).unfinished-\(getpid())")
    }

    private func copy() throws {
        let reader = try HistoryReader(self.source, besideWriter: StoreLock.memory(self.source.lock)?.isHeld ?? false)
        defer { reader.close() }
        try self.draft.create()
        var round = 1
        while try !self.copySnapshot(reader, isLast: round == Self.rounds) {
            round += 1
        }
        try self.removeFilesOfNoMessage()
        try flush(self.draft.database)
        for directory in [self.draft.contents, self.draft.path] {
            try flush(directory)
        }
        guard rename(self.draft.path, self.target.path) == 0 else {
            throw fileFailure("cannot name the copy \(self.target.path)")
        }
        try flush(URL(fileURLWithPath: self.target.path).deletingLastPathComponent().path)
    }

    /// Copies what one snapshot shows; returns false when a content of it was gone already, unless it is the last one.
    private func copySnapshot(_ reader: HistoryReader, isLast: Bool) throws -> Bool {
        try reader.readNow { connection in
            let sql = "SELECT id FROM messages WHERE flags & 8 AND finished_at IS NULL"
            // The first read sets the moment of the snapshot, for the pages as well.
            for id in try connection.rows(sql, [], { QueueID(number: $0.integer(0)) }) {
                guard try self.copyContent(of: id) || isLast else {
                    return false
                }
            }
            try self.draft.createDatabaseFile()
            let copy = try DatabaseQueue(path: self.draft.database)
            try copy.writeWithoutTransaction { try connection.database.backup(to: $0, pagesPerStep: 1_024) }
            try copy.close()
            try self.copyKeptContents(connection)
            return true
        }
    }

    /// Contents that are kept with the history, as far as there are any.
    private func copyKeptContents(_ connection: Connection) throws {
        let sql = "SELECT id FROM messages WHERE flags & 8 AND finished_at IS NOT NULL"
        for id in try connection.rows(sql, [], { QueueID(number: $0.integer(0)) }) {
            _ = try self.copyContent(of: id)
        }
    }

    /// Links or copies one content; returns false when it is not there.
    private func copyContent(of id: QueueID) throws -> Bool {
        let from = self.source.contentFile(of: id)
        let to = self.draft.contentFile(of: id)
        if exists(to) || link(from, to) == 0 {
            return true
        }
        guard errno != ENOENT else {
            return false
        }
        do {
            try FileManager.default.copyItem(atPath: from, toPath: to)
        } catch {
            guard exists(from) else {
                return false
            }
            throw StoreFailure(.broken, "cannot copy \(from) to \(to): \(error.localizedDescription)")
        }
        try flush(to)
        return true
    }

    /// Contents that an earlier snapshot had and the last one has no more.
    private func removeFilesOfNoMessage() throws {
        let reader = try HistoryReader(self.draft, besideWriter: false)
        defer { reader.close() }
        let sql = "SELECT 1 FROM messages WHERE id = ? AND flags & 8"
        for file in try self.draft.contentFiles() {
            let isKnown = try reader.readNow { try $0.first(sql, [.integer(file.id.number)]) { _ in true } }
            if isKnown == nil {
                unlink(self.draft.contentFile(of: file.id))
            }
        }
    }
}
