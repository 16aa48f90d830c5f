import Delivery
import Logging
package import MailModel
import NIOCore
import NIOPosix
import SMTPClient
import SMTPProtocol

/// A small message through a running gateway, as an application would send it.
package enum TestMessage {
    /// Submits and returns the gateway's reply to the message.
    package static func send(
        from sender: Mailbox,
        to recipient: Mailbox,
        subject: String,
        body: String,
        through address: IPAddress,
        port: Int
    ) async throws -> Reply {
        let text =
            "From: <\(sender)>\r\nTo: <\(recipient)>\r\nSubject: \(subject)\r\nMIME-Version: 1.0\r\n"
            + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\(body)\r\n"
        let content = ByteBuffer(string: text)
        let mail = MailTransaction(
            reversePath: .mailbox(sender),
            forwardPaths: [ForwardPath(mailbox: recipient)],
            size: content.readableBytes,
            isEightBit: !text.utf8.allSatisfy { $0 < 0x80 }
        )
        let client = SMTPClient(
            group: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "send") { _ in SwiftLogNoOpLogHandler() }
        )
        let report = await client.deliver(
            mail,
            content: MessageContent(size: mail.size, isEightBit: mail.isEightBit, storage: .memory(content)),
            over: NextHop(host: "\(address)", port: port, addresses: [address], tls: .none, heloName: "localhost"),
            until: .now + .seconds(30),
            beforeCommit: {}
        )
        await client.shutDown()
        switch report.results.first {
        case .accepted(let reply): return reply
        case .failed(let failure): throw StartupFailure("\(address):\(port) did not take the message: \(failure)")
        case nil: throw StartupFailure("\(address):\(port) said nothing")
        }
    }
}
