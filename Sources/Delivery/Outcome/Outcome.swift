package import MailModel

/// What an attempt said of one recipient.
package enum Outcome: Hashable, Sendable {
    case delivered(Acceptance)
    case failed(Failure)

    package var failure: Failure? {
        switch self {
        case .delivered: nil
        case .failed(let failure): failure
        }
    }
}

/// The next hop's word that the message is now its responsibility.
package struct Acceptance: Hashable, Sendable {
    /// The SMTP reply to the final dot, or an HTTP status and text in the same shape (`202 accepted`).
    package var reply: Reply
    /// The provider's own name for the message, by which its events refer to it.
    package var providerMessageID: String?

    package init(reply: Reply, providerMessageID: String? = nil) {
        self.reply = reply
        self.providerMessageID = providerMessageID
    }
}
