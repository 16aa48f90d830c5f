package import MailModel

package import struct NIOCore.ByteBuffer

/// A complete message on its way to the store: envelope, content and where they came from.
package struct Submission: Sendable {
    package let facts: TransactionFacts
    package let content: SubmissionContent
    /// Octets of the content as it is to be stored.
    package let size: Int
    /// Whether the content holds octets over 127.
    package let isEightBit: Bool
    package let messageID: String
    package let subject: String
    /// The header section says `TLS-Required: No` (RFC 8689 §3).
    package let isTLSOptional: Bool

    package var queueID: QueueID { self.facts.queueID }
    package var envelope: Envelope { self.facts.envelope }
    package var client: SubmittingClient { self.facts.client }
    package var receivedAt: Timestamp { self.facts.receivedAt }
}

/// Where the content of a submission is.
package enum SubmissionContent: Sendable {
    /// Header section and body in one contiguous buffer.
    case memory(ByteBuffer)
    /// Written out and synced.
    case spooled(any ContentSpool)
}

/// What is known of a message when its content begins.
///
/// A class, since it is much, goes through many hands, and never changes.
package final class TransactionFacts: Sendable {
    package let queueID: QueueID
    package let envelope: Envelope
    package let client: SubmittingClient
    package let receivedAt: Timestamp

    init(queueID: QueueID, envelope: Envelope, client: SubmittingClient, receivedAt: Timestamp) {
        self.queueID = queueID
        self.envelope = envelope
        self.client = client
        self.receivedAt = receivedAt
    }
}

/// The client of a session, as trace fields and logs name it.
package struct SubmittingClient: Hashable, Sendable {
    package let address: IPAddress
    package let port: Int
    package let heloName: String
    package let isExtended: Bool
    package let user: String?
    package let listener: String
    /// Such as `TLSv1.3`; nil in clear text.
    package let tlsDescription: String?

    /// The `with` clause of a Received field, without regard to SMTPUTF8 (RFC 3848).
    package var protocolName: String {
        guard self.isExtended else {
            return "SMTP"
        }
        return "ESMTP" + (self.tlsDescription == nil ? "" : "S") + (self.user == nil ? "" : "A")
    }
}
