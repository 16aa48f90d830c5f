import MailModel
import NIOCore
import PostfixQueue

/// A message of another queue as it travels to the process that holds our store; its content follows.
package struct TakeOverEnvelope: Codable, Hashable, Sendable {
    /// The largest content, and the largest envelope, in octets.
    static let contentLimit = PostfixSpool.fileLimit

    struct Address: Codable, Hashable, Sendable {
        var localPart: String
        var domain: String

        init(_ mailbox: Mailbox) {
            self.localPart = mailbox.localPart
            self.domain = mailbox.domain.text
        }

        var mailbox: Mailbox {
            Mailbox(localPart: self.localPart, domain: MailDomain(self.domain))
        }
    }

    struct Recipient: Codable, Hashable, Sendable {
        var address: Address
        var notify: UInt8?
        var originalRecipient: String?
    }

    /// What the message is called where it comes from: the same for ever, and never that of another message.
    var origin: String
    /// Nil for the null reverse-path.
    var reversePath: Address?
    var recipients: [Recipient]
    var body: MailParameters.BodyType?
    var smtpUTF8: Bool
    var returnContent: MailParameters.ReturnContent?
    var envelopeID: String?
    var arrivedAt: Timestamp
    var clientName: String
    var clientAddress: String?
    var user: String?
    var isHeld: Bool
    var isEightBit: Bool
    var contentLength: Int

    /// A queue file under a name that lasts: its queue id may come again after years, never at the same microsecond.
    init(_ file: QueueFile, queueID: String, isHeld: Bool) {
        self.origin = "postfix/\(queueID)/\(file.arrivedAt.microseconds)"
        self.reversePath = file.envelope.reversePath.mailbox.map(Address.init)
        self.recipients = file.envelope.forwardPaths.map { path in
            Recipient(
                address: Address(path.mailbox),
                notify: path.notify?.rawValue,
                originalRecipient: path.originalRecipient
            )
        }
        self.body = file.envelope.parameters.body
        self.smtpUTF8 = file.envelope.parameters.smtpUTF8
        self.returnContent = file.envelope.parameters.returnContent
        self.envelopeID = file.envelope.parameters.envelopeID
        self.arrivedAt = file.arrivedAt
        self.clientName = file.clientName
        self.clientAddress = file.clientAddress?.description
        self.user = file.user
        self.isHeld = isHeld
        self.isEightBit = file.isEightBit
        self.contentLength = file.content.readableBytes
    }

    var parameters: MailParameters {
        MailParameters(
            body: self.body,
            smtpUTF8: self.smtpUTF8,
            returnContent: self.returnContent,
            envelopeID: self.envelopeID
        )
    }

    var forwardPaths: [ForwardPath] {
        self.recipients.map { recipient in
            ForwardPath(
                mailbox: recipient.address.mailbox,
                notify: recipient.notify.map(Notify.init(rawValue:)),
                originalRecipient: recipient.originalRecipient
            )
        }
    }
}

/// What became of a message that was handed over.
package struct TakeOverReceipt: Codable, Hashable, Sendable {
    /// Its queue id here.
    package var id: String
    /// False when it had been taken over before.
    package var isNew: Bool
}
