package import MailModel

/// What a listener knows of a submission and writes into its Received field (RFC 5321 §4.4).
package struct TraceFacts: Sendable {
    /// The argument of EHLO or HELO as the client gave it; unsafe characters are replaced when it is written.
    package var clientName: String
    /// Nil for messages that were not submitted over TCP.
    package var clientAddress: IPAddress?
    /// The gateway's own name.
    package var hostname: String
    /// The client said EHLO rather than HELO.
    package var isExtended: Bool
    package var isTLS: Bool
    package var isAuthenticated: Bool
    package var isSMTPUTF8: Bool
    package var queueID: QueueID
    /// Every recipient; written only when there is one, since more would tell each of the others (RFC 5321 §7.2).
    package var recipients: [Mailbox]
    package var receivedAt: Timestamp

    package init(
        clientName: String,
        clientAddress: IPAddress?,
        hostname: String,
        isExtended: Bool = true,
        isTLS: Bool = false,
        isAuthenticated: Bool = false,
        isSMTPUTF8: Bool = false,
        queueID: QueueID,
        recipients: [Mailbox],
        receivedAt: Timestamp
    ) {
        self.clientName = clientName
        self.clientAddress = clientAddress
        self.hostname = hostname
        self.isExtended = isExtended
        self.isTLS = isTLS
        self.isAuthenticated = isAuthenticated
        self.isSMTPUTF8 = isSMTPUTF8
        self.queueID = queueID
        self.recipients = recipients
        self.receivedAt = receivedAt
    }

    /// The whole field with its line ends.
    package var receivedField: String {
        self.receivedFieldOctets.text
    }

    /// The same as octets, in which it goes into a header section.
    var receivedFieldOctets: TextOctets {
        var field = TextOctets(capacity: 384)
        field.write("Received: from ")
        field.write(safeName: self.clientName)
        if let address = self.clientAddress {
            field.write(" (")
            field.write(address.literal)
            field.write(")")
        }
        field.write("\r\n\tby ")
        field.write(safeName: self.hostname)
        field.write(" (Hikyaku) with ")
        field.write(self.transmissionType)
        field.write(" id ")
        field.write(self.queueID.description)
        if self.recipients.count == 1, let recipient = self.recipients.first, isPrintable(recipient) {
            field.write("\r\n\tfor <")
            field.write(recipient)
            field.write(">; ")
        } else {
            field.write(";\r\n\t")
        }
        field.write(self.receivedAt.messageDate)
        field.write("\r\n")
        return field
    }

    /// The registered "with" word (RFC 3848, RFC 6531 §4.3).
    private var transmissionType: String {
        guard self.isExtended else {
            return "SMTP"
        }
        let base = self.isSMTPUTF8 ? "UTF8SMTP" : "ESMTP"
        return base + (self.isTLS ? "S" : "") + (self.isAuthenticated ? "A" : "")
    }
}

extension TextOctets {
    /// A client's name as far as it can be a domain or an address literal; everything else becomes `?`.
    fileprivate mutating func write(safeName name: String) {
        guard !name.isEmpty else {
            self.write("unknown")
            return
        }
        var name = name
        name.withUTF8 { octets in
            let octets = UnsafeBufferPointer(rebasing: octets.prefix(255))
            guard !octets.allSatisfy(isSafe) else {
                self.write(octets)
                return
            }
            for octet in octets {
                self.write(isSafe(octet) ? octet : UInt8(ascii: "?"))
            }
        }
    }
}

private func isSafe(_ octet: UInt8) -> Bool {
    switch octet {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x3A, 0x5B, 0x5D: true
    default: false
    }
}

private func isPrintable(_ mailbox: Mailbox) -> Bool {
    mailbox.localPart.utf8.count + 1 + mailbox.domain.text.utf8.count <= 900 && isPrintable(mailbox.localPart)
        && isPrintable(mailbox.domain.text)
}

private func isPrintable(_ text: String) -> Bool {
    var text = text
    return text.withUTF8 { $0.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }
}
