package import MailModel

package import struct NIOCore.ByteBuffer

/// One message of a Postfix queue (Postfix 2.3 to 3.x): what it knows of the envelope, and the content.
package struct QueueFile: Hashable, Sendable {
    /// Recipients beyond which a file is left alone; Postfix's listener takes a thousand.
    package static let recipientLimit = 50_000

    /// Who sent it and how it is to be carried; the forward-paths are those that Postfix had not finished.
    package var envelope: Envelope
    /// When Postfix took the message.
    package var arrivedAt: Timestamp
    /// Recipients that Postfix delivered or bounced, which must not be served again.
    package var finishedRecipients: Int
    /// With CRLF line ends; octet for octet what Postfix would send, Received field and all.
    package var content: ByteBuffer
    package var isEightBit: Bool
    package var clientAddress: IPAddress?
    /// What the client called itself in EHLO; empty where nobody said.
    package var clientName: String
    /// The authenticated user.
    package var user: String?

    /// Reads a whole file.
    ///
    /// Trusts nothing in it: any octets end in a message or in a `QueueFileDamage`. An address without a domain, such as
    /// `root`, gets `defaultDomain`.
    package init(parsing bytes: ByteBuffer, defaultDomain: String) throws(QueueFileDamage) {
        var reader = RecordReader(bytes)
        var parser = QueueFileParser(defaultDomain: defaultDomain)
        while let record = try reader.next() {
            if try parser.take(record, from: reader) {
                self = try parser.finish()
                return
            }
        }
        throw .truncated
    }

    init(
        envelope: Envelope,
        arrivedAt: Timestamp,
        finishedRecipients: Int,
        content: ByteBuffer,
        isEightBit: Bool,
        clientAddress: IPAddress?,
        clientName: String,
        user: String?
    ) {
        self.envelope = envelope
        self.arrivedAt = arrivedAt
        self.finishedRecipients = finishedRecipients
        self.content = content
        self.isEightBit = isEightBit
        self.clientAddress = clientAddress
        self.clientName = clientName
        self.user = user
    }

    /// Whether a file name is a queue id, short (hexadecimal) or long (base 52 with a `z` inside).
    package static func isQueueID(_ name: String) -> Bool {
        (6...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { octet in
                switch octet {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: false
                }
            }
    }
}
