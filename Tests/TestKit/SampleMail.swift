package import Delivery
package import MailModel
import NIOCore

/// Messages and recipients for tests of providers and clients.
package enum SampleMail {
    package static let text = "Message-ID: <1@app.example>\r\nSubject: hello\r\n\r\n.dots\r\n"

    package static func content(_ text: String = Self.text) -> MessageContent {
        let bytes = ByteBuffer(string: text)
        let isEightBit = text.utf8.contains { $0 > 127 }
        return MessageContent(size: bytes.readableBytes, isEightBit: isEightBit, storage: .memory(bytes))
    }

    /// A mailbox from `local@domain`.
    package static func mailbox(_ address: String) -> Mailbox {
        let parts = address.split(separator: "@", maxSplits: 1).map(String.init)
        return Mailbox(localPart: parts.first ?? "", domain: MailDomain(parts.last ?? ""))
    }

    package static func recipients(_ addresses: [String]) -> [Recipient] {
        addresses.enumerated().map { number, address in
            Recipient(number: number, forwardPath: ForwardPath(mailbox: Self.mailbox(address)))
        }
    }

    package static func message(
        from address: String? = "noreply@app.example",
        content: MessageContent = Self.content()
    ) -> QueuedMessage {
        let now = Timestamp(seconds: 1_700_000_000)
        return QueuedMessage(
            id: QueueID(number: 7),
            reversePath: address.map { .mailbox(Self.mailbox($0)) } ?? .null,
            parameters: .init(),
            arrivedAt: now,
            expiresAt: now + .seconds(3600),
            messageID: "<1@app.example>",
            subject: "hello",
            content: content
        )
    }
}
