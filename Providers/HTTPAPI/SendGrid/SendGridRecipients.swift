import Delivery
import MailModel
import MessageFormat

/// Whom a call names in To, Cc and Bcc: the envelope's recipients and nobody else.
struct SendGridRecipients {
    private(set) var personalization = SendGridMail.Personalization(to: [], cc: nil, bcc: nil)
    /// Which recipients stand at `to.0`, `cc.1`, ...
    private(set) var places: [String: [Recipient.Number]] = [:]
    /// To and Cc lack addresses that the message shows.
    private(set) var headerRewritten = false

    /// Shows in To and Cc those whom the message shows there, and puts the others into Bcc.
    ///
    /// An address counts once, without regard to case, since SendGrid refuses a repeated one.
    init(_ header: HeaderSection, _ recipients: [Recipient]) {
        var waiting: [String: [Recipient]] = [:]
        var order: [String] = []
        for recipient in recipients {
            let key = recipient.mailbox.asciiKey
            if waiting[key] == nil {
                order.append(key)
            }
            waiting[key, default: []].append(recipient)
        }
        let envelope = Set(order)
        var lists: [String: [SendGridMail.Address]] = ["to": [], "cc": [], "bcc": []]
        for list in ["to", "cc"] {
            for mailbox in AddressList(header, list).mailboxes {
                guard envelope.contains(mailbox.asciiKey) else {
                    self.headerRewritten = true
                    continue
                }
                if let found = waiting.removeValue(forKey: mailbox.asciiKey) {
                    self.places["\(list).\(lists[list]?.count ?? 0)"] = found.map(\.number)
                    lists[list]?.append(SendGridMail.Address(mailbox))
                }
            }
        }
        for key in order {
            if let found = waiting[key], let first = found.first {
                self.places["bcc.\(lists["bcc"]?.count ?? 0)"] = found.map(\.number)
                lists["bcc"]?.append(SendGridMail.Address(first.mailbox))
            }
        }
        self.personalization.to = lists["to"] ?? []
        self.personalization.cc = lists["cc"].flatMap { $0.isEmpty ? nil : $0 }
        self.personalization.bcc = lists["bcc"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// A call for one address alone, where the message shows no recipient that is in the envelope.
    init(alone recipients: [Recipient]) {
        self.personalization.to = recipients.prefix(1).map { SendGridMail.Address($0.mailbox) }
        self.places = ["to.0": recipients.map(\.number)]
    }
}
