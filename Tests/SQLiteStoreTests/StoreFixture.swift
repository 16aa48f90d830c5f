import Delivery
import Foundation
import GRDB
import Logging
import MailModel
import SQLiteStore

/// A directory for one test, removed at its end, and the stores that were opened in it.
final class StoreFixture: Sendable {
    let directory: String

    init() throws {
        self.directory = FileManager.default.temporaryDirectory.path + "/hikyaku-store-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    var database: String {
        self.directory + "/hikyaku.db"
    }

    func open(_ change: (inout MessageStore.Configuration) -> Void = { _ in }) throws -> MessageStore {
        var configuration = MessageStore.Configuration(directory: self.directory)
        change(&configuration)
        return try MessageStore.open(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// A connection of somebody else, who may leave a transaction open.
    func stranger() throws -> DatabaseQueue {
        var options = GRDB.Configuration()
        options.allowsUnsafeTransactions = true
        return try DatabaseQueue(path: self.database, configuration: options)
    }

    /// What a machine would find after the process died at this moment: copies of all files, locked by nobody.
    func afterCrash() throws -> StoreFixture {
        let copy = try StoreFixture()
        try FileManager.default.removeItem(atPath: copy.directory)
        try FileManager.default.copyItem(atPath: self.directory, toPath: copy.directory)
        try? FileManager.default.removeItem(atPath: copy.database + "-shm")
        return copy
    }

    func permissions(_ name: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: self.directory + name)
        return (attributes[.posixPermissions] as? Int) ?? -1
    }
}

extension MessageStore {
    func enqueue(_ message: NewMessage) async throws {
        let result: Result<Void, StoreFailure> = await withCheckedContinuation { continuation in
            self.enqueue(message) { continuation.resume(returning: $0) }
        }
        try result.get()
    }
}

/// The kind of failure with which the body ends; nil when it does not fail.
func failureKind(_ body: () async throws -> Void) async -> StoreFailure.Kind? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? StoreFailure)?.kind
    }
}

/// The words of the failure with which the body ends; empty when it does not fail.
func failureText(_ body: () throws -> Void) -> String {
    do {
        try body()
        return ""
    } catch {
        return "\(error)"
    }
}
