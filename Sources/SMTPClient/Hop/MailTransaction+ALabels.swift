import DNSProtocol
import MailModel
package import SMTPProtocol

extension MailTransaction {
    /// The same transaction in the form that most servers take: with domains as A-labels where they alone need SMTPUTF8.
    ///
    /// A local part in Unicode has no other form, and content of a message that came with SMTPUTF8 may have it in the header
    /// section (RFC 6532): then everything stays as it came, and a server without SMTPUTF8 cannot carry it.
    package var inASCIIWherePossible: MailTransaction {
        let mailboxes = self.forwardPaths.map(\.mailbox) + [self.reversePath.mailbox].compactMap(\.self)
        let hasUnicodeLocalPart = mailboxes.contains { !$0.localPart.utf8.allSatisfy { $0 < 0x80 } }
        let isWanted = self.parameters.smtpUTF8 || mailboxes.contains { !$0.isASCII }
        guard isWanted, !hasUnicodeLocalPart, !(self.parameters.smtpUTF8 && self.isEightBit) else {
            return self
        }
        var mail = self
        if let sender = self.reversePath.mailbox {
            guard let mailbox = sender.withALabels else {
                return self
            }
            mail.reversePath = .mailbox(mailbox)
        }
        for (index, path) in self.forwardPaths.enumerated() {
            guard let mailbox = path.mailbox.withALabels else {
                return self
            }
            mail.forwardPaths[index] = ForwardPath(
                mailbox: mailbox,
                notify: path.notify,
                originalRecipient: path.originalRecipient
            )
        }
        mail.parameters.smtpUTF8 = false
        return mail
    }
}
