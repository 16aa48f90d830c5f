package import MailModel

package import struct NIOCore.ByteBuffer

/// A message that is ours to deliver, as providers see it; a value that is cheap to copy.
package struct QueuedMessage: Sendable {
    private struct Facts: Sendable {
        let id: QueueID
        let reversePath: ReversePath
        let parameters: MailParameters
        let arrivedAt: Timestamp
        let expiresAt: Timestamp
        let messageID: String
        let subject: String
    }

    /// What never changes: a message is handed on many times, which costs one reference and not one for each text.
    private final class Constants: Sendable {
        let facts: Facts

        init(_ facts: Facts) {
            self.facts = facts
        }
    }

    private let constants: Constants
    package var content: MessageContent

    package init(
        id: QueueID,
        reversePath: ReversePath,
        parameters: MailParameters,
        arrivedAt: Timestamp,
        expiresAt: Timestamp,
        messageID: String,
        subject: String,
        content: MessageContent
    ) {
        self.constants = Constants(
            Facts(
                id: id,
                reversePath: reversePath,
                parameters: parameters,
                arrivedAt: arrivedAt,
                expiresAt: expiresAt,
                messageID: messageID,
                subject: subject
            )
        )
        self.content = content
    }

    package var id: QueueID { self.constants.facts.id }
    /// The reverse-path and MAIL parameters; the recipients of an attempt are passed beside it.
    package var reversePath: ReversePath { self.constants.facts.reversePath }
    package var parameters: MailParameters { self.constants.facts.parameters }
    package var arrivedAt: Timestamp { self.constants.facts.arrivedAt }
    package var expiresAt: Timestamp { self.constants.facts.expiresAt }
    /// The value of the Message-ID field with its angle brackets; the application's own key, kept for all attempts.
    package var messageID: String { self.constants.facts.messageID }
    /// The decoded and shortened subject, for people.
    package var subject: String { self.constants.facts.subject }
}

/// The content of a message (header section, empty line, body) with CRLF line ends and without dot-stuffing.
package struct MessageContent: Sendable {
    package enum Storage: Sendable {
        case memory(ByteBuffer)
        /// An absolute path of a file that holds exactly the content; it is read by the floors that do I/O.
        case file(path: String)
    }

    /// Octets.
    package let size: Int
    /// Whether any octet is over 127: then BODY=8BITMIME or re-encoding is needed (RFC 6152).
    package let isEightBit: Bool
    package let storage: Storage

    package init(size: Int, isEightBit: Bool, storage: Storage) {
        self.size = size
        self.isEightBit = isEightBit
        self.storage = storage
    }

    /// Octets of memory that are in use as long as this value lives.
    package var octetsInMemory: Int {
        switch self.storage {
        case .memory(let buffer): buffer.storageCapacity
        case .file: 0
        }
    }

    /// The same content without its octets, for who reads them again when they are needed.
    package var withoutOctets: MessageContent {
        MessageContent(size: self.size, isEightBit: self.isEightBit, storage: .memory(ByteBuffer()))
    }
}

/// One recipient of one message, and how far its delivery has come.
package struct Recipient: Sendable, Hashable {
    /// The position in the envelope, from 0; with the queue id it names the recipient for ever.
    package typealias Number = Int

    package let number: Number
    package let forwardPath: ForwardPath
    package var progress: Progress

    package init(number: Number, forwardPath: ForwardPath, progress: Progress = .init()) {
        self.number = number
        self.forwardPath = forwardPath
        self.progress = progress
    }

    package var mailbox: Mailbox {
        self.forwardPath.mailbox
    }

    /// What the chain and the schedule must remember of a recipient from one attempt to the next.
    package struct Progress: Sendable, Hashable, Codable {
        /// Attempts made so far, by any provider.
        package var attempts: Int
        /// Rounds through the chain that ended with nothing delivered; the schedule backs off by it.
        package var rounds: Int
        /// The provider that the next attempt begins with; nil: the first one of the chain.
        package var resumeAt: String?
        /// Since when this provider has answered with "later" for this recipient (greylisting), or has been the only one to be
        /// asked since it may have the message, to know when to leave it.
        package var deferredSince: Timestamp?
        /// The provider that may already have accepted the message: it is asked first and alone.
        package var ambiguousAt: String?

        package init(
            attempts: Int = 0,
            rounds: Int = 0,
            resumeAt: String? = nil,
            deferredSince: Timestamp? = nil,
            ambiguousAt: String? = nil
        ) {
            self.attempts = attempts
            self.rounds = rounds
            self.resumeAt = resumeAt
            self.deferredSince = deferredSince
            self.ambiguousAt = ambiguousAt
        }
    }
}
