import DNSProtocol
import MailModel
import MessageFormat

/// An address in the form that mail APIs take: the domain in A-labels, as every SMTP hop would get it.
extension Mailbox {
    /// Nil where the local part is not ASCII, which has no other form, or the domain cannot be one.
    var inASCII: String? {
        self.localPart.utf8.allSatisfy { $0 < 0x80 } ? self.withALabels?.description : nil
    }

    var inASCIIWherePossible: String {
        self.inASCII ?? self.description
    }

    /// For comparing with the addresses of the header.
    var asciiKey: String {
        self.inASCIIWherePossible.lowercased()
    }
}

extension HeaderMailbox {
    /// The domain in A-labels, or as it was written where it has none.
    var asciiDomain: String {
        DomainALabels.ascii(self.domain) ?? self.domain
    }

    var inASCIIWherePossible: String {
        "\(self.localPart)@\(self.asciiDomain)"
    }

    var asciiKey: String {
        self.inASCIIWherePossible.lowercased()
    }
}
