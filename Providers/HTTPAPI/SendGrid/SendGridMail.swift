import Delivery
import MailModel
import MessageFormat

/// The JSON of `v3/mail/send` but for its personalizations, which differ from call to call; property names are SendGrid's.
struct SendGridMail: Encodable {
    struct Address: Encodable {
        var email: String
        var name: String?

        init(_ mailbox: HeaderMailbox) {
            self.email = mailbox.inASCIIWherePossible
            self.name = mailbox.displayName
        }

        init(_ mailbox: Mailbox) {
            self.email = mailbox.inASCIIWherePossible
        }
    }

    struct Personalization: Encodable {
        var to: [Address]
        var cc: [Address]?
        var bcc: [Address]?
    }

    struct Content: Encodable {
        var type: String
        var value: String
    }

    struct Attachment: Encodable {
        var content: String
        var type: String
        var filename: String
        var disposition: String
        var content_id: String?
    }

    struct Switch: Encodable {
        var enable: Bool
    }

    struct ClickTracking: Encodable {
        var enable = false
        var enable_text = false
    }

    struct MailSettings: Encodable {
        var sandbox_mode: Switch
    }

    struct TrackingSettings: Encodable {
        var click_tracking = ClickTracking()
        var open_tracking = Switch(enable: false)
    }

    var from: Address
    var reply_to: Address?
    var reply_to_list: [Address]?
    var subject: String
    var content: [Content]
    var attachments: [Attachment]?
    var headers: [String: String]?
    var categories: [String]?
    var custom_args: [String: String]
    var mail_settings: MailSettings?
    var tracking_settings = TrackingSettings()
}

extension SendGridMail {
    /// Turns a message into JSON values.
    init(_ mail: OutgoingMail, _ bodies: MessageBodies, isSandbox: Bool) throws(Failure) {
        let senders = AddressList(mail.header, "From").mailboxes
        guard let sender = senders.first, senders.count == 1 else {
            throw ServiceFailures.cannotCarry("this service takes one From address, the message has \(senders.count)")
        }
        guard sender.localPart.utf8.allSatisfy({ $0 < 0x80 }) else {
            throw ServiceFailures.cannotCarry("this service takes only From addresses in ASCII")
        }
        self.from = Address(sender)
        let replies = AddressList(mail.header, "Reply-To").mailboxes.prefix(1_000).map { Address($0) }
        self.reply_to = replies.count == 1 ? replies.first : nil
        self.reply_to_list = replies.count > 1 ? Array(replies) : nil
        let subject = mail.header.first("Subject")?.text ?? ""
        // An empty subject is refused with 400.
        self.subject = subject.isEmpty ? " " : subject
        self.content = contents(bodies)
        let attachments = bodies.attachments.map { Attachment($0) }
        self.attachments = attachments.isEmpty ? nil : attachments
        let headers = passedHeaders(mail.header)
        self.headers = headers.isEmpty ? nil : headers
        let categories = MessageTags.tags(of: mail.header)
        self.categories = categories.isEmpty ? nil : categories
        self.custom_args = ["gw_id": "\(mail.id)"]
        self.mail_settings = isSandbox ? MailSettings(sandbox_mode: Switch(enable: true)) : nil
    }
}

/// Plain text, HTML, then the others, none of them empty: SendGrid refuses any other order.
private func contents(_ bodies: MessageBodies) -> [SendGridMail.Content] {
    var contents = [("text/plain", bodies.text), ("text/html", bodies.html)].compactMap { type, text in
        text.flatMap { $0.isEmpty ? nil : SendGridMail.Content(type: type, value: unixLines($0)) }
    }
    for alternative in bodies.alternatives where !alternative.text.isEmpty {
        contents.append(.init(type: alternative.contentType, value: unixLines(alternative.text)))
    }
    return contents.isEmpty ? [.init(type: "text/plain", value: " ")] : contents
}

private func unixLines(_ text: String) -> String {
    // Characters would take CRLF for one; scalars are what is meant.
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars where scalar != "\r" {
        scalars.append(scalar)
    }
    return String(scalars)
}

extension SendGridMail.Attachment {
    init(_ attachment: MessageBodies.Attachment) {
        self.content = Base64.encode(attachment.octets)
        self.type = harmless(attachment.contentType)
        self.filename = harmless(attachment.filename)
        self.disposition = attachment.isInline ? "inline" : "attachment"
        self.content_id = attachment.contentID.map(harmless)
    }
}

/// Without line ends and semicolons, which SendGrid refuses, and without any other control character.
private func harmless(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(500).map { $0.value < 0x20 || $0 == ";" ? "_" : $0 }))
}

/// The fields that SendGrid may carry on: neither those it writes itself nor those it refuses nor our own.
private func passedHeaders(_ header: HeaderSection) -> [String: String] {
    var names: [String: String] = [:]
    var headers: [String: String] = [:]
    for field in header.fields where !isWithheld(field.name.lowercased()) {
        let value = EncodedWord.encode(field.unfolded)
        guard !value.isEmpty else {
            continue
        }
        let name = names[field.name.lowercased(), default: field.name]
        names[field.name.lowercased()] = name
        headers[name] = headers[name].map { "\($0), \(value)" } ?? value
    }
    return headers
}

private let withheld: Set<String> = [
    "from", "to", "cc", "bcc", "resent-bcc", "subject", "reply-to", "sender", "return-path", "date", "mime-version",
    "received", "dkim-signature", "authentication-results", "x-sg-id", "x-sg-eid", "x-smtpapi", "x-tags", "x-tag",
]

private func isWithheld(_ name: String) -> Bool {
    withheld.contains(name) || ["content-", "arc-", "x-gateway-"].contains { name.hasPrefix($0) }
}
