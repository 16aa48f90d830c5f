package import Delivery
package import Logging

/// How large a database was before and after its free pages were given back.
package struct StoreCompaction: Encodable, Sendable {
    /// Octets.
    package let before: Int
    /// Octets.
    package let after: Int

    /// Writes the database of a store anew without its free pages; blocks until that is done.
    ///
    /// Takes the store for itself, as a gateway does, and throws `busy` while one runs: for as long as this takes,
    /// nobody could write, and all mail would be answered 451. It needs room on the disk for two more
    /// copies of what is in use, and a failure or a crash at any point leaves what was there.
    package static func run(_ directory: String, logger: Logger) throws(StoreFailure) -> StoreCompaction {
        let configuration = MessageStore.Configuration(directory: directory)
        let directory = StoreDirectory(directory)
        guard exists(directory.database) else {
            throw StoreFailure(.missing, "there is no queue at \(directory.database)")
        }
        let lock = try StoreLock(directory.lock)
        defer { lock.release() }
        try directory.checkNothingIsLost(generation: lock.last.generation)
        try directory.checkLogIsWhole(since: lock.last.mark)
        do {
            let database = try WriterDatabase(
                configuration: configuration,
                directory: directory,
                lock: lock,
                logger: logger
            )
            defer { database.close() }
            database.checkpoint(truncate: true)
            let before = size(directory.database)
            try database.compact()
            database.checkpoint(truncate: true)
            return StoreCompaction(before: before, after: size(directory.database))
        } catch {
            throw StoreFailure(error)
        }
    }

    /// The result as a sentence.
    package var text: String {
        "The database takes \(self.after) octets now and took \(self.before) before."
    }
}
