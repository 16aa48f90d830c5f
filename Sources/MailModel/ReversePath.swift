/// Where reports about a message go (RFC 5321 §4.4, "return path").
package enum ReversePath: Hashable, Sendable, CustomStringConvertible {
    /// `<>`: the message is itself a report; it is never answered with another one (RFC 5321 §6.1).
    case null
    case mailbox(Mailbox)

    /// The mailbox, if the path is not null.
    package var mailbox: Mailbox? {
        switch self {
        case .null: nil
        case .mailbox(let mailbox): mailbox
        }
    }

    /// The text between the angle brackets, empty for the null path.
    package var description: String {
        self.mailbox?.description ?? ""
    }
}
