package import MailModel

/// Keeps the last good answers across restarts (RFC 8767); implemented by the store.
package protocol AnswerArchive: Sendable {
    /// Remembers a good answer; returns at once and may be lost in a crash.
    func remember(_ answer: ArchivedAnswer)

    /// Drops an answer that has turned out to be none; returns at once and may be lost in a crash.
    func forget(_ question: String)

    /// The last good answer to a question such as `MX gmail.com`; nil when there is none or it cannot be read.
    func recall(_ question: String) async -> ArchivedAnswer?
}

/// A good answer as it is kept: the wire form of the response, and when it came.
package struct ArchivedAnswer: Sendable, Hashable {
    /// Type and name in lower case without final dot: `MX gmail.com`, `A smtp.gmail.com`.
    package var question: String
    /// The whole DNS message as received, at most 65,535 octets.
    package var message: [UInt8]
    package var receivedAt: Timestamp
    /// The source that gave it.
    package var source: String

    package init(question: String, message: [UInt8], receivedAt: Timestamp, source: String) {
        self.question = question
        self.message = message
        self.receivedAt = receivedAt
        self.source = source
    }
}
