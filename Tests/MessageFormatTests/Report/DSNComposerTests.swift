import MailModel
import MessageFormat
import Testing

import struct NIOCore.ByteBuffer

@Suite struct DSNComposerTests {
    private func report(
        to mailbox: Mailbox = .init(localPart: "user", domain: .init("gmail.com")),
        text: String = "550 5.1.1 no such user",
        subject: String = "hello"
    ) throws -> DeliveryReport {
        DeliveryReport(
            hostname: "mail.example.com",
            returnPath: Mailbox(localPart: "app", domain: MailDomain("app.example.com")),
            id: try #require(QueueID("01K9Z3M8QW01")),
            composedAt: Timestamp(seconds: 1_795_515_500),
            originalID: try #require(QueueID("01K9Z3M8QW00")),
            originalMessageID: "<1@web>",
            originalSubject: subject,
            arrivedAt: Timestamp(seconds: 1_795_515_423),
            envelopeID: "a+2Bb",
            recipients: [
                .init(
                    mailbox: mailbox,
                    originalRecipient: "rfc822;us+2Ber@gmail.com",
                    status: .init(5, 1, 1),
                    text: text,
                    isReply: true,
                    remoteMTA: "mx.gmail.com"
                )
            ],
            returned: .header(ByteBuffer(string: "Subject: hello\r\n"))
        )
    }

    private func parts(_ report: DeliveryReport) throws -> (root: MIMEPart, texts: [(type: String, body: String)]) {
        let content = DSNComposer.compose(report, boundary: "hikyaku0123")
        let tree = try MIMETree(Array(content.readableBytesView))
        for line in String(buffer: content).split(separator: "\r\n") {
            #expect(line.utf8.count <= 998)
        }
        let texts = tree.parts.dropFirst().map { part in
            (part.contentType.value, String(decoding: tree.decodedBody(of: part), as: UTF8.self))
        }
        return (tree.parts[0], texts)
    }

    @Test("tells people what happened and programs what RFC 3464 asks for")
    func composes() throws {
        let (root, parts) = try self.parts(try self.report())
        #expect(root.contentType.value == "multipart/report")
        #expect(root.contentType.parameters["report-type"] == "delivery-status")
        #expect(root.header.first("From")?.text == "Mail Delivery System <mailer-daemon@mail.example.com>")
        #expect(root.header.first("Auto-Submitted")?.text == "auto-replied")
        #expect(root.header.first("To")?.text == "<app@app.example.com>")
        #expect(parts.map(\.type) == ["text/plain", "message/delivery-status", "text/rfc822-headers"])
        #expect(parts[0].body.contains("<user@gmail.com>\r\n    mx.gmail.com said: 550 5.1.1 no such user"))
        #expect(parts[0].body.contains("What to do: check the address"))
        #expect(
            parts[1].body
                == """
                Reporting-MTA: dns; mail.example.com
                Original-Envelope-Id: a+b
                X-Hikyaku-Queue-ID: 01K9Z3M8QW00
                Arrival-Date: Tue, 24 Nov 2026 10:17:03 +0000

                Original-Recipient: rfc822; us+er@gmail.com
                Final-Recipient: rfc822; user@gmail.com
                Action: failed
                Status: 5.1.1
                Remote-MTA: dns; mx.gmail.com
                Diagnostic-Code: smtp; 550 5.1.1 no such user

                """.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
        )
        #expect(parts[2].body == "Subject: hello\r\n")
    }

    @Test("lets no quoted reply write fields or parts of its own")
    func protects() throws {
        let hostile = "550 no\r\n\r\n--hikyaku0123--\r\nFinal-Recipient: rfc822; other@x.test \u{1B}[31m 日本 "
        let (_, parts) = try self.parts(try self.report(text: hostile + String(repeating: "x", count: 5_000)))
        #expect(parts.count == 3, "\(parts)")
        let fields = parts[1].body.split(separator: "\r\n")
        #expect(fields.filter { $0.hasPrefix("Final-Recipient:") }.count == 1)
        #expect(parts[1].body.utf8.allSatisfy { $0 < 0x80 && $0 != 0x1B })
    }

    @Test("uses the internationalized forms for an address that is not ASCII (RFC 6533)")
    func composesUnicode() throws {
        let mailbox = Mailbox(localPart: "山田", domain: MailDomain("example.jp"))
        let (root, parts) = try self.parts(try self.report(to: mailbox, subject: "確認"))
        #expect(root.contentType.parameters["report-type"] == "global-delivery-status")
        #expect(parts.map(\.type) == ["text/plain", "message/global-delivery-status", "message/global-headers"])
        #expect(parts[1].body.contains("Final-Recipient: utf-8; 山田@example.jp\r\n"))
    }

    @Test("returns the whole message when it is given")
    func returnsContent() throws {
        var report = try self.report()
        report.returned = .content(ByteBuffer(string: "Subject: hello\r\n\r\nbody\r\n"))
        let (_, parts) = try self.parts(report)
        #expect(parts[2].type == "message/rfc822")
        #expect(parts[2].body == "Subject: hello\r\n\r\nbody\r\n")
    }
}
