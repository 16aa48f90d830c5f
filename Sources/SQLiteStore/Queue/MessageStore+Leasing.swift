package import Delivery
import GRDB
import Logging
package import MailModel
import Synchronization

extension MessageStore {
    package func leaseDue(
        at now: Timestamp,
        limit: Int,
        putOff: @escaping @Sendable (MailDomain) -> Timestamp?
    ) async throws(StoreFailure) -> LeasedBatch {
        try await self.endUnreadable()
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
            await self.end(leases.map { UnreadableLease($0, reason: nil) })
            throw error
        }
        var loaded: [LeasedMessage] = []
        var unreadable: [UnreadableLease] = []
        for (lease, message) in zip(leases, messages) {
            switch message {
            case .whole(let message):
                loaded.append(.init(message: message, recipients: lease.recipients, interrupted: lease.interrupted))
            case .missing:
                unreadable.append(.init(lease, reason: "the content is missing from the store"))
            case .damaged:
                unreadable.append(
                    .init(lease, reason: "the content is damaged in the store: see `hikyaku store check`")
                )
            }
        }
        await self.end(unreadable)
        return loaded
    }

    /// Ends leases of which the message could not be read; what cannot be written now is written before the next lease.
    private func end(_ leases: [UnreadableLease]) async {
        for lease in leases {
            if let reason = lease.reason {
                self.logger.error(
                    "message without content is held",
                    metadata: ["id": "\(lease.id)", "why": "\(reason)"]
                )
            }
        }
        self.unreadable.withLock { $0 += leases }
        do {
            try await self.endUnreadable()
        } catch {
            self.logger.error("leases are not ended yet", metadata: ["error": "\(error)"])
        }
    }

    private func endUnreadable() async throws(StoreFailure) {
        let leases = self.unreadable.withLock { leases in
            defer { leases = [] }
            return leases
        }
        guard !leases.isEmpty else {
            return
        }
        do {
            try await self.write { connection in
                try leases.forEach(connection.end)
            }
        } catch {
            self.unreadable.withLock { $0 += leases }
            throw error
        }
    }
}

/// A lease of which the message could not be read.
struct UnreadableLease: Sendable {
    let id: QueueID
    let recipients: [Recipient.Number]
    /// Why it is held; nil: it is due again.
    let reason: String?

    fileprivate init(_ lease: Lease, reason: String?) {
        self.id = lease.id
        self.recipients = lease.recipients.map(\.number)
        self.reason = reason
    }
}

extension Connection {
    /// Gives the recipients of a lease back or holds them; others of the message may be under way.
    fileprivate func end(_ lease: UnreadableLease) throws {
        for number in lease.recipients {
            try self.run(
                """
                UPDATE recipients SET state = ?1, lease = 0, due_at = CASE WHEN ?1 = 2 THEN NULL ELSE due_at END,
                    last_failure = coalesce(?2, last_failure)
                WHERE message = ?3 AND number = ?4 AND state = 0 AND lease = ?5
                """,
                [
                    .integer(lease.reason == nil ? RecipientState.waiting : RecipientState.held),
                    SQLValue(lease.reason), .integer(lease.id.number), SQLValue(number), .integer(self.epoch),
                ]
            )
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
