import MailModel
import MessageFormat
import TestKit
import Testing

import struct NIOCore.ByteBuffer

@Suite struct MessageBodiesTests {
    @Test("finds the texts and the attachments of what Django sends")
    func walksDjango() throws {
        let bodies = try MessageBodies(MIMETree(Array(SampleMessages.djangoAlternatives.utf8)))
        #expect(bodies.text == "ありがとうございます。")
        #expect(bodies.html == "<p>ありがとう<img src=\"cid:logo@app\"></p>")
        #expect(bodies.attachments.map(\.filename) == ["logo.png", "請求書.pdf"])
        #expect(bodies.attachments.map(\.isInline) == [true, false])
        #expect(bodies.attachments.map(\.octets.count) == [8, 8])
        #expect(bodies.attachments.first?.contentID == "logo@app")
    }

    @Test("a reference within a reference to a part is none: a text of nothing else is read once")
    func runOfReferences() throws {
        let message = SampleMessages.lines(
            "Content-Type: multipart/related; boundary=b",
            "",
            "--b",
            "Content-Type: text/html",
            "",
            "<img src='cid:0'>" + (1..<100).map { "cid:\($0)" }.joined(),
            "--b",
            "Content-Type: image/png",
            "Content-ID: <0>",
            "",
            "x",
            "--b",
            "Content-Type: image/png",
            "Content-ID: <99>",
            "",
            "x",
            "--b--"
        )
        let bodies = try MessageBodies(MIMETree(Array(message.utf8)))
        #expect(bodies.attachments.map(\.isInline) == [true, false])
    }

    @Test(
        "finds a reference in whatever form it is written (RFC 2392 §2)",
        arguments: ["cid:a%b@app", "CID:a%25b@app", "Cid:a%25b%40app"]
    )
    func formsOfReferences(reference: String) throws {
        let message = SampleMessages.lines(
            "Content-Type: multipart/related; boundary=b",
            "",
            "--b",
            "Content-Type: text/html",
            "",
            "<img src=\"\(reference)\"> c@app",
            "--b",
            "Content-Type: image/png",
            "Content-ID: <a%b@app>",
            "",
            "x",
            "--b",
            "Content-Type: image/png",
            "Content-ID: <c@app>",
            "",
            "x",
            "--b--"
        )
        let bodies = try MessageBodies(MIMETree(Array(message.utf8)))
        #expect(bodies.attachments.map(\.isInline) == [true, false])
    }

    @Test("keeps a forwarded message whole and a calendar as an alternative")
    func walksOthers() throws {
        let message = SampleMessages.lines(
            "Content-Type: multipart/alternative; boundary=b",
            "",
            "preamble",
            "--b",
            "",
            "text",
            "--b",
            "Content-Type: text/calendar; method=REQUEST",
            "",
            "BEGIN:VCALENDAR",
            "--b",
            "Content-Type: message/rfc822",
            "",
            "Subject: inner",
            "",
            "inner",
            "--b--",
            "epilogue"
        )
        let bodies = try MessageBodies(MIMETree(Array(message.utf8)))
        #expect(bodies.text == "text")
        #expect(bodies.alternatives.map(\.contentType) == ["text/calendar"])
        #expect(bodies.alternatives.map(\.text) == ["BEGIN:VCALENDAR"])
        #expect(bodies.attachments.map(\.filename) == ["forwarded.eml"])
        #expect(bodies.attachments.map(\.octets) == [Array("Subject: inner\r\n\r\ninner".utf8)])
    }

    @Test(
        "refuses to take apart what would not survive it",
        arguments: [
            "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
            "Content-Type: application/pkcs7-mime\r\n\r\nx", "DKIM-Signature: v=1\r\n\r\nx",
        ]
    )
    func refusesProtected(_ message: String) throws {
        #expect(throws: MIMEProblem.self) { try MessageBodies(MIMETree(Array(message.utf8))) }
    }

    @Test("refuses text in a charset that nobody knows")
    func refusesCharset() throws {
        let message = Array("Content-Type: text/plain; charset=x-klingon\r\n\r\nx".utf8)
        #expect(throws: MIMEProblem.unknownCharset("x-klingon")) { try MessageBodies(MIMETree(message)) }
    }

    @Test(
        "reads Japanese mail in the older charsets",
        arguments: ["iso-2022-jp": "GyRCM05HJxsoQg==", "euc-jp": "s87Hpw=="]
    )
    func readsJapanese(charset: String, body: String) throws {
        let head = "Content-Type: text/plain; charset=\(charset)\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        #expect(try MessageBodies(MIMETree(Array((head + body).utf8))).text == "確認")
    }

    @Test("stops at 100 levels and at 1,000 parts")
    func bombs() {
        var nested = ""
        for level in 0..<5_000 {
            nested += "Content-Type: multipart/mixed; boundary=b\(level)\r\n\r\n--b\(level)\r\n"
        }
        #expect(throws: MIMEProblem.nestedTooDeep) { try MIMETree(Array(nested.utf8)) }
        let wide = "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + String(repeating: "--b\r\n\r\n", count: 5_000)
        #expect(throws: MIMEProblem.tooManyParts) { try MIMETree(Array(wide.utf8)) }
        let long = String(repeating: "X: y\r\n", count: 60_000)
        #expect(throws: MIMEProblem.headerTooLarge) { try MIMETree(Array(long.utf8)) }
    }

    @Test("survives any damage to a message", arguments: UInt64(0)..<40)
    func survives(seed: UInt64) throws {
        var mutations = SampleMessagesMutations(seed: seed)
        let facts = TraceFacts(
            clientName: "x",
            clientAddress: nil,
            hostname: "h",
            queueID: QueueID(number: 1),
            recipients: [],
            receivedAt: Timestamp(seconds: 0)
        )
        for sample in SampleMessages.all {
            var bytes = Array(sample.utf8)
            for _ in 0..<20 {
                bytes = mutations.mutate(bytes)
                let header = SubmissionHeader.prepare(ByteBuffer(bytes: bytes), trace: facts)
                #expect(header.replacedLength <= bytes.count)
                for name in ["From", "To", "Cc"] {
                    _ = AddressList(HeaderSection(bytes), name)
                }
                // A refusal is as good as a result here; what counts is that it comes.
                _ = try? MessageBodies(MIMETree(bytes))
            }
        }
    }
}
