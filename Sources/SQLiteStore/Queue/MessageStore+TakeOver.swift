package import Delivery
package import MailModel

extension MessageStore {
    /// Commits a message from another queue once and for all, and returns the queue id under which it is known here.
    ///
    /// That is the id of the message, or of an earlier one with the same origin: then nothing is changed, and the
    /// content file of the message, if it has one, is removed. With `isHeld` its recipients wait for an operator.
    package func takeOver(
        _ message: NewMessage,
        from origin: String,
        isHeld: Bool
    ) async throws(StoreFailure) -> QueueID {
        let files = self.contentFiles
        let id = message.message.id
        let known: QueueID
        do {
            known = try await self.write { connection in
                let sql = "SELECT message FROM taken_over WHERE origin = ?"
                if let earlier = try connection.first(sql, [.text(origin)], { QueueID(number: $0.integer(0)) }) {
                    return earlier
                }
                try connection.insert(message, files: files)
                try connection.run("INSERT INTO taken_over VALUES (?, ?)", [.text(origin), .integer(id.number)])
                if isHeld {
                    try connection.run(
                        "UPDATE recipients SET state = 2, due_at = NULL WHERE message = ?",
                        [.integer(id.number)]
                    )
                }
                return id
            }
        } catch {
            files.discard(message.message)
            throw error
        }
        if known != id {
            files.discard(message.message)
        }
        return known
    }
}
