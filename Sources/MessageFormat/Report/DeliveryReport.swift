package import MailModel

package import struct NIOCore.ByteBuffer

/// What a delivery status notification tells, before it is put into words (RFC 3464).
package struct DeliveryReport: Sendable {
    /// What became of a recipient (RFC 3464 §2.3.3).
    package enum Action: String, Hashable, Sendable {
        case failed, delayed, delivered, relayed
    }

    /// What is told of one recipient.
    package struct RecipientStatus: Sendable {
        package var mailbox: Mailbox
        /// The `ORCPT` parameter as received, in xtext form.
        package var originalRecipient: String?
        package var action: Action
        package var status: EnhancedStatusCode
        /// What was seen, for people; control characters are removed here.
        package var text: String
        /// Whether `text` is an SMTP reply, code first; else it is in our own words.
        package var isReply: Bool
        /// The host that said it; nil when none was reached.
        package var remoteMTA: String?
        package var lastAttemptAt: Timestamp?
        /// For `delayed`: until when it is tried.
        package var willRetryUntil: Timestamp?

        package init(
            mailbox: Mailbox,
            originalRecipient: String? = nil,
            action: Action = .failed,
            status: EnhancedStatusCode,
            text: String,
            isReply: Bool = false,
            remoteMTA: String? = nil,
            lastAttemptAt: Timestamp? = nil,
            willRetryUntil: Timestamp? = nil
        ) {
            self.mailbox = mailbox
            self.originalRecipient = originalRecipient
            self.action = action
            self.status = status
            self.text = text
            self.isReply = isReply
            self.remoteMTA = remoteMTA
            self.lastAttemptAt = lastAttemptAt
            self.willRetryUntil = willRetryUntil
        }
    }

    /// How much of the message is given back.
    package enum Returned: Sendable {
        /// Its header section, without the empty line or with it.
        case header(ByteBuffer)
        /// All of it; the caller decides what is small enough.
        case content(ByteBuffer)
    }

    /// The gateway's own name.
    package var hostname: String
    /// The reverse-path of the message; a report is never made for the null path.
    package var returnPath: Mailbox
    /// The name of the report itself, for its Message-ID.
    package var id: QueueID
    package var composedAt: Timestamp
    /// The message that is reported on.
    package var originalID: QueueID
    package var originalMessageID: String
    package var originalSubject: String
    package var arrivedAt: Timestamp
    /// The `ENVID` parameter as received, in xtext form.
    package var envelopeID: String?
    package var recipients: [RecipientStatus]
    package var returned: Returned

    package init(
        hostname: String,
        returnPath: Mailbox,
        id: QueueID,
        composedAt: Timestamp,
        originalID: QueueID,
        originalMessageID: String,
        originalSubject: String,
        arrivedAt: Timestamp,
        envelopeID: String? = nil,
        recipients: [RecipientStatus],
        returned: Returned
    ) {
        self.hostname = hostname
        self.returnPath = returnPath
        self.id = id
        self.composedAt = composedAt
        self.originalID = originalID
        self.originalMessageID = originalMessageID
        self.originalSubject = originalSubject
        self.arrivedAt = arrivedAt
        self.envelopeID = envelopeID
        self.recipients = recipients
        self.returned = returned
    }

    /// Whether the report speaks of nothing but delay, and so calls for no action yet.
    var isDelayOnly: Bool {
        self.recipients.allSatisfy { $0.action == .delayed }
    }

    var hasFailure: Bool {
        self.recipients.contains { $0.action == .failed }
    }

    /// Whether an address needs the internationalized forms (RFC 6533).
    var needsUnicode: Bool {
        !self.returnPath.isASCII || self.recipients.contains { !$0.mailbox.isASCII }
    }
}
