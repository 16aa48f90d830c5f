package import Delivery
package import MailModel

extension MessageStore: Store {
    package func enqueue(
        _ message: NewMessage,
        completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void
    ) {
        let files = self.contentFiles
        self.committer.submit(
            Work(
                run: { connection in
                    try connection.insert(message, files: files)
                    return { completion(.success(())) }
                },
                fail: { failure in
                    files.discard(message.message)
                    completion(.failure(failure))
                }
            )
        )
    }

    package func begin(_ attempt: AttemptStart) async throws(StoreFailure) {
        try await self.write { try $0.begin(attempt) }
    }

    package func finish(_ result: AttemptResult) async throws(StoreFailure) {
        // Written as JSON here, so that the writing thread does not spend its time on it.
        let attempt = StoredAttempt(result)
        let files = self.contentFiles
        let keepContent = self.configuration.keepContent
        let leavesFile = try await self.write { connection in
            try connection.finish(result, attempt)
            if let bounce = result.bounce {
                try connection.insert(bounce, files: files)
            }
            return try connection.closeIfFinished(
                result.start.messageID,
                at: result.finishedAt,
                keepContent: keepContent
            )
        }
        if leavesFile {
            files.remove(result.start.messageID)
        }
    }

    package func content(of id: QueueID) async throws(StoreFailure) -> MessageContent {
        let directory = self.directory
        let content = try await self.readers.read { try $0.content(of: id, in: directory) }
        guard let content else {
            throw StoreFailure(.missing, "the content of \(id) is not in the store")
        }
        return content
    }

    package func nextDue() async throws(StoreFailure) -> Timestamp? {
        let epoch = self.epoch
        return try await self.readers.read { try $0.nextDue(epoch: epoch) }
    }

    package func release(
        _ id: QueueID,
        recipients: [Recipient.Number],
        dueAt: Timestamp
    ) async throws(StoreFailure) {
        try await self.write { connection in
            for number in recipients {
                try connection.run(
                    "UPDATE recipients SET state = 1, lease = 0, due_at = ? WHERE message = ? AND number = ? AND state <= 1",
                    [.integer(dueAt.microseconds), .integer(id.number), SQLValue(number)]
                )
            }
        }
    }
}
