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
        let logger = self.logger
        self.committer.submit(
            Work(
                run: { connection in
                    try connection.run(
                        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)",
                        [
                            .text(answer.question),
                            .bytes(answer.message),
                            .integer(answer.receivedAt.microseconds),
                            .text(answer.source),
                        ]
                    )
                    return {}
                },
                fail: { failure in
                    logger.debug("a DNS answer was not kept", metadata: ["error": "\(failure)"])
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
