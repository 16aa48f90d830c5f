import MailModel
import MessageFormat
import TestKit
import Testing

import struct NIOCore.ByteBuffer

@Suite struct SubmissionHeaderTests {
    private static let received =
        "Received: from web-1 ([172.18.0.5])\r\n"
        + "\tby mail.example.com (Hikyaku) with ESMTPSA id 01K9Z3M8QW00\r\n"
        + "\tfor <user@gmail.com>; Tue, 24 Nov 2026 10:17:03 +0000\r\n"

    private static func facts(client: String = "web-1", recipients: Int = 1) throws -> TraceFacts {
        let mailbox = Mailbox(localPart: "user", domain: MailDomain("gmail.com"))
        return TraceFacts(
            clientName: client,
            clientAddress: IPAddress("172.18.0.5"),
            hostname: "mail.example.com",
            isTLS: true,
            isAuthenticated: true,
            queueID: try #require(QueueID("01K9Z3M8QW00")),
            recipients: Array(repeating: mailbox, count: recipients),
            receivedAt: Timestamp(seconds: 1_795_515_423)
        )
    }

    private func prepare(_ content: String) throws -> (header: SubmissionHeader, stored: String) {
        let buffer = ByteBuffer(string: content)
        let header = SubmissionHeader.prepare(buffer, trace: try Self.facts())
        var rest = buffer
        rest.moveReaderIndex(forwardBy: header.replacedLength)
        return (header, String(buffer: header.bytes) + String(buffer: rest))
    }

    @Test("puts one Received field in front of a complete message, and changes nothing else")
    func traces() throws {
        let (header, stored) = try self.prepare(SampleMessages.djangoText)
        #expect(stored == Self.received + SampleMessages.djangoText)
        #expect(header.messageID == "<176397582312.7.1234@web-1>")
        #expect(header.subject == "確認コード")
        #expect(header.receivedCount == 0)
        #expect(!header.isLooping)
    }

    @Test(
        "notes TLS-Required: No, and no other word (RFC 8689 §3)",
        arguments: [
            ("TLS-Required: No", true), ("tls-required:no", true), ("TLS-Required: No, really", false),
            ("TLS-Required: Yes", false), ("X-TLS-Required: No", false),
        ]
    )
    func tlsOptional(_ field: String, _ isOptional: Bool) throws {
        #expect(try self.prepare("\(field)\r\nSubject: x\r\n\r\n").header.isTLSOptional == isOptional)
    }

    @Test("takes out Bcc with its folded lines and leaves the fields around it")
    func removesBlindCopies() throws {
        let (_, stored) = try self.prepare(SampleMessages.djangoBlindCopy)
        let field = "Bcc: secret-one@example.net,\r\n secret-two@example.net\r\n"
        let (before, after) = try #require(SampleMessages.djangoBlindCopy.splitOnce(field))
        #expect(stored == Self.received + before + after)
        #expect(try !self.prepare("RESENT-BCC : a@b.test\r\nSubject: x\r\n\r\n").stored.contains("a@b.test"))
    }

    @Test("adds Date and Message-ID at the end of a header section that lacks them")
    func completes() throws {
        let (header, stored) = try self.prepare("Subject: hi\r\n\r\nbody\r\n")
        #expect(header.messageID == "<01K9Z3M8QW00.x@mail.example.com>")
        let added = "Date: Tue, 24 Nov 2026 10:17:03 +0000\r\nMessage-ID: <01K9Z3M8QW00.x@mail.example.com>\r\n"
        #expect(stored == Self.received + "Subject: hi\r\n" + added + "\r\nbody\r\n")
    }

    @Test(
        "gives content without a header section one of its own",
        arguments: [
            "hello world\r\n", "http//no field here\r\nSubject: x\r\n", " folded first\r\n", "\r\nbody\r\n", "",
        ]
    )
    func insertsHeader(_ content: String) throws {
        let (_, stored) = try self.prepare(content)
        let section = HeaderSection(Array(stored.utf8))
        #expect(section.fields.map(\.name) == ["Received", "Date", "Message-ID"])
        let body = content.hasPrefix("\r\n") ? String(content.dropFirst()) : content
        #expect(String(decoding: Array(stored.utf8)[section.length...], as: UTF8.self) == body)
    }

    @Test("separates a body that begins without an empty line")
    func separatesStrayBody() throws {
        let (_, stored) = try self.prepare("Date: x\r\nMessage-ID: <a@b>\r\nnot a field\r\n")
        #expect(stored == Self.received + "Date: x\r\nMessage-ID: <a@b>\r\n\r\nnot a field\r\n")
    }

    @Test("counts the hosts that a message has passed (RFC 5321 §6.3)", arguments: [(100, false), (101, true)])
    func findsLoops(hops: Int, isLooping: Bool) throws {
        let content = String(repeating: "Received: by x; y\r\n", count: hops) + "\r\n"
        #expect(try self.prepare(content).header.isLooping == isLooping)
    }

    @Test("names the recipient only when there is one, and replaces what no client name may have")
    func protectsTrace() throws {
        let two = try Self.facts(recipients: 2).receivedField
        #expect(!two.contains("gmail.com"))
        #expect(two.contains("id 01K9Z3M8QW00;\r\n\tTue, 24 Nov"))
        let hostile = try Self.facts(client: "a)\r\nX-Evil: (b").receivedField
        #expect(hostile.hasPrefix("Received: from a???X-Evil:??b ([172.18.0.5])\r\n\tby "))
    }

    @Test("shortens a subject and takes control characters out of it")
    func shortensSubject() throws {
        let long = try self.prepare("Subject: \(String(repeating: "x", count: 5_000))\r\n\r\n").header.subject
        #expect(long.count == SubmissionHeader.subjectLimit)
        let hidden = try self.prepare("Subject: =?utf-8?q?a=0D=0ABcc:_x?=\r\n\r\n").header.subject
        #expect(hidden == "a  Bcc: x")
    }
}

extension String {
    func splitOnce(_ separator: String) -> (String, String)? {
        let parts = self.split(separator: separator, maxSplits: 1, omittingEmptySubsequences: false)
        return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
    }
}
