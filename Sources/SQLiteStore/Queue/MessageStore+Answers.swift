package import DNSProtocol
import Delivery
import Logging
import MailModel

extension MessageStore: AnswerArchive {
    /// Rides in the next commit; left out when the writer has much to do, since an answer can be had again.
    package func remember(_ answer: ArchivedAnswer) {
        guard answer.message.count <= 65_535, self.committer.backlog < self.configuration.capacity / 4 else {
            return
        }
        self.change(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)",
            [
                .text(answer.question),
                .bytes(answer.message),
                .integer(answer.receivedAt.microseconds),
                .text(answer.source),
            ]
        )
    }

    package func forget(_ question: String) {
        self.change("DELETE FROM answers WHERE question = ?", [.text(question)])
    }

    private func change(_ sql: String, _ values: [SQLValue]) {
        let logger = self.logger
        self.committer.submit(
            Work(
                run: { connection in
                    try connection.run(sql, values)
                    return {}
                },
                fail: { failure in
                    logger.debug("the archive of DNS answers was not changed", metadata: ["error": "\(failure)"])
                }
            )
        )
    }

    package func recall(_ question: String) async -> ArchivedAnswer? {
        do {
            return try await self.readers.read { connection in
                try connection.first(
                    "SELECT message, received_at, source FROM answers WHERE question = ?",
                    [.text(question)]
                ) { row in
                    ArchivedAnswer(
                        question: question,
                        message: row.bytes(0),
                        receivedAt: Timestamp(microseconds: row.integer(1)),
                        source: row.text(2)
                    )
                }
            }
        } catch {
            self.logger.warning("the answer archive cannot be read", metadata: ["error": "\(error)"])
            return nil
        }
    }
}
