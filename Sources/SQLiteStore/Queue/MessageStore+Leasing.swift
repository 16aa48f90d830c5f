package import Delivery
import GRDB
import Logging
package import MailModel

extension MessageStore {
    package func leaseDue(
        at now: Timestamp,
        limit: Int,
        putOff: @escaping @Sendable (MailDomain) -> Timestamp?
    ) async throws(StoreFailure) -> LeasedBatch {
        let (leases, hasMore) = try await self.write { try $0.leaseDue(at: now, limit: limit, putOff: putOff) }
        return LeasedBatch(messages: try await self.load(leases), hasMore: hasMore)
    }

    /// Leases what of one message is waiting or left behind by a dead run, whatever its due time; not what is held.
    package func lease(_ id: QueueID) async throws(StoreFailure) -> LeasedMessage? {
        guard let lease = try await self.write({ try $0.lease(id, dueAt: nil) }) else {
            return nil
        }
        guard let message = try await self.load([lease]).first else {
            throw StoreFailure(.missing, "the content of \(id) is not in the store; its recipients are held")
        }
        return message
    }

    /// Reads the messages of leases on a reader, so that the writer is not kept from committing.
    ///
    /// A message that is missing or damaged is no reason to stop: its recipients are held and the operator is told.
    private func load(_ leases: [Lease]) async throws(StoreFailure) -> [LeasedMessage] {
        guard !leases.isEmpty else {
            return []
        }
        let directory = self.directory
        let messages: [Stored]
        do {
            messages = try await self.readers.read { connection in
                try leases.map { try Stored(reading: $0.id, connection, in: directory) }
            }
        } catch {
            await self.giveBack(leases)
            throw error
        }
        var loaded: [LeasedMessage] = []
        for (lease, message) in zip(leases, messages) {
            switch message {
            case .whole(let message):
                loaded.append(.init(message: message, recipients: lease.recipients, interrupted: lease.interrupted))
            case .missing:
                await self.quarantine(lease, because: "the content is missing from the store")
            case .damaged:
                await self.quarantine(lease, because: "the content is damaged in the store: see `hikyaku store check`")
            }
        }
        return loaded
    }

    private func giveBack(_ leases: [Lease]) async {
        do {
            try await self.write { connection in
                for lease in leases {
                    try connection.run(
                        "UPDATE recipients SET state = 1, lease = 0 WHERE message = ? AND lease = ? AND state = 0",
                        [.integer(lease.id.number), .integer(connection.epoch)]
                    )
                }
            }
        } catch {
            self.logger.error("leases are lost until the next start", metadata: ["error": "\(error)"])
        }
    }

    private func quarantine(_ lease: Lease, because reason: String) async {
        self.logger.error("message without content is held", metadata: ["id": "\(lease.id)", "why": "\(reason)"])
        do {
            try await self.write { connection in
                for recipient in lease.recipients {
                    try connection.run(
                        """
                        UPDATE recipients SET state = 2, lease = 0, due_at = NULL, last_failure = ?
                        WHERE message = ? AND number = ? AND state <= 1
                        """,
                        [
                            SQLValue(reason), .integer(lease.id.number), SQLValue(recipient.number),
                        ]
                    )
                }
            }
        } catch {
            self.logger.error("cannot hold it", metadata: ["id": "\(lease.id)", "error": "\(error)"])
        }
    }
}

/// What the store has of a message that was leased.
private enum Stored: Sendable {
    case whole(QueuedMessage)
    case missing
    /// SQLite finds that a page of it is not what it was.
    case damaged

    init(reading id: QueueID, _ connection: Connection, in directory: StoreDirectory) throws {
        do {
            self = try connection.queuedMessage(id, in: directory).map(Stored.whole) ?? .missing
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CORRUPT {
            self = .damaged
        }
    }
}
