import Delivery
import GRDBSQLite
import Synchronization

/// Tells of the instant between the write of a commit and its flush; for tests that have the process die just there.
///
/// Puts itself before the `xSync` of one open write-ahead log. There is one observer in a process, since the method that
/// SQLite calls is a C function that can carry nothing along.
enum SyncObserver {
    private typealias Sync = @convention(c) (UnsafeMutablePointer<sqlite3_file>?, Int32) -> Int32

    private struct Installed {
        var sync: Sync
        var beforeSync: @Sendable () -> Void
    }

    private static let installed = Mutex<Installed?>(nil)

    /// Observes the write-ahead log of a connection that has read its database at least once.
    static func install(on connection: OpaquePointer, beforeSync: @escaping @Sendable () -> Void) throws(StoreFailure) {
        var file: UnsafeMutablePointer<sqlite3_file>?
        let code = sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file)
        guard code == SQLITE_OK, let file, let methods = file.pointee.pMethods, let sync = methods.pointee.xSync else {
            throw StoreFailure(.broken, "SQLite does not show its write-ahead log")
        }
        // Never freed: the file may be used as long as the process lives.
        let observed = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        observed.initialize(to: methods.pointee)
        observed.pointee.xSync = { file, flags in
            let installed = SyncObserver.installed.withLock { $0 }
            installed?.beforeSync()
            return installed?.sync(file, flags) ?? SQLITE_IOERR
        }
        self.installed.withLock { $0 = Installed(sync: sync, beforeSync: beforeSync) }
        file.pointee.pMethods = UnsafePointer(observed)
    }
}
