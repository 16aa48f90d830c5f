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
        var field = "Received: from "
        field.reserveCapacity(384)
        field += safeName(self.clientName)
        if let address = self.clientAddress {
            field += " ("
            field += address.literal
            field += ")"
        }
        field += "\r\n\tby "
        field += safeName(self.hostname)
        field += " (Hikyaku) with "
        field += self.transmissionType
        field += " id "
        field += self.queueID.description
        let recipient = self.recipients.count == 1 ? self.recipients.first?.description : nil
        if let recipient, isPrintable(recipient) {
            field += "\r\n\tfor <"
            field += recipient
            field += ">; "
        } else {
            field += ";\r\n\t"
        }
        field += self.receivedAt.messageDate
        field += "\r\n"
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

/// A client's name as far as it can be a domain or an address literal; everything else becomes `?`.
private func safeName(_ name: String) -> String {
    let bytes = name.utf8.prefix(255).map { byte -> UInt8 in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x3A, 0x5B, 0x5D: byte
        default: UInt8(ascii: "?")
        }
    }
    return bytes.isEmpty ? "unknown" : String(decoding: bytes, as: UTF8.self)
}

private func isPrintable(_ text: String) -> Bool {
    text.utf8.count <= 900 && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
}
