import Logging
import MailModel
import NIOCore
import NIOPosix
import NIOSSL
import SMTPProtocol
import SMTPServer
import Synchronization
import TestKit
import Testing

@Suite("The listener")
struct SMTPListenerTests {
    @Test(
        "plays the dialogues of the pure session on a socket",
        arguments: ["django", "pipelining", "bdat", "out-of-order", "http", "bare-line-feed"]
    )
    func playsDialogues(_ name: String) async throws {
        try await withListener { sink, port in
            var socket = try DialogueSocket(port: port)
            #expect(try await Dialogue(fixture: name).play(against: &socket) == nil)
            let expected = ["django": 1, "pipelining": 2, "bdat": 1][name, default: 0]
            #expect(sink.submissions.count == expected)
        }
    }

    @Test("the message reaches the sink with its header prepared and its facts")
    func submits() async throws {
        try await withListener { sink, port in
            let socket = try DialogueSocket(port: port)
            try await socket.begin()
            try await socket.send("Subject: hi\r\n\r\n..body\r\n.\r\n")
            #expect(try await socket.reply()?.hasPrefix("250 2.0.0 Ok: queued as ") == true)
            let submission = try #require(sink.submissions.first)
            guard case .memory(let content) = submission.content else {
                Issue.record("small content stays in memory")
                return
            }
            #expect(String(buffer: content) == "Received: test\r\nSubject: hi\r\n\r\n.body\r\n")
            #expect(submission.size == content.readableBytes)
            #expect(submission.subject == "test")
            #expect(submission.client.heloName == "x")
            #expect(submission.client.protocolName == "ESMTP")
        }
    }

    @Test("large content goes to a spool, whole and in order")
    func spools() async throws {
        try await withListener { sink, port in
            let socket = try DialogueSocket(port: port)
            try await socket.begin()
            let line = String(repeating: "0123456789", count: 100) + "\r\n"
            let body = String(repeating: line, count: 3_000)
            try await socket.send("Subject: hi\r\n\r\n\(body).\r\n")
            #expect(try await socket.reply()?.hasPrefix("250 2.0.0") == true)
            let submission = try #require(sink.submissions.first)
            guard case .spooled(let spool as MemorySpool) = submission.content else {
                Issue.record("large content is spooled")
                return
            }
            #expect(spool.state == .init(text: "Received: test\r\nSubject: hi\r\n\r\n" + body, isFinished: true))
            #expect(submission.size == spool.state.text.utf8.count)
        }
    }

    @Test("a spool without space is 452, the content is read to its end, and the session goes on")
    func spoolFails() async throws {
        try await withListener(sink: RecordingSink(spoolError: .noSpace)) { sink, port in
            let socket = try DialogueSocket(port: port)
            try await socket.begin()
            let line = String(repeating: "x", count: 998) + "\r\n"
            try await socket.send("Subject: hi\r\n\r\n\(String(repeating: line, count: 1_000)).\r\n")
            #expect(try await socket.reply()?.hasPrefix("452 4.3.1") == true)
            try await socket.send("NOOP\r\n")
            #expect(try await socket.reply() == "250 2.0.0 Ok")
            #expect(sink.submissions.isEmpty)
        }
    }

    @Test("what the sink refuses is refused; what comes behind the final dot waits")
    func sinkRefuses() async throws {
        let sink = RecordingSink(verdict: .refused(Reply(451, EnhancedStatusCode(4, 3, 0), "not now")))
        try await withListener(sink: sink) { _, port in
            let socket = try DialogueSocket(port: port)
            try await socket.begin()
            try await socket.send("A: b\r\n.\r\nMAIL FROM:<>\r\n")
            #expect(try await socket.reply() == "451 4.3.0 not now")
            #expect(try await socket.reply() == "250 2.1.0 Ok")
        }
    }

    @Test("a client that is not allowed cannot relay")
    func deniesRelay() async throws {
        try await withListener(allowed: []) { sink, port in
            let socket = try DialogueSocket(port: port)
            _ = try await socket.reply()
            try await socket.send("EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n")
            _ = try await socket.reply()
            _ = try await socket.reply()
            #expect(try await socket.reply()?.hasPrefix("550 5.7.1 relaying denied for <b@x.test>") == true)
            #expect(try await socket.reply()?.hasPrefix("503 5.5.1") == true)
        }
    }

    @Test("a ClientHello on a clear-text port is told so and cut")
    func refusesTLSRecord() async throws {
        try await withListener { _, port in
            let socket = try DialogueSocket(port: port)
            _ = try await socket.reply()
            try await socket.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
            #expect(try await socket.reply()?.hasPrefix("554 5.5.1") == true)
            #expect(try await socket.line() == nil)
        }
    }

    @Test("octets behind STARTTLS in the same segment get no reply, in clear text or in TLS")
    func dropsInjection() async throws {
        try await withListener(mode: .starttls) { _, port in
            let socket = try DialogueSocket(port: port)
            _ = try await socket.reply()
            try await socket.send("EHLO x\r\n")
            _ = try await socket.reply()
            try await socket.send("STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n")
            #expect(try await socket.reply() == "220 2.0.0 Ready to start TLS")
            try await socket.send("QUIT\r\n")
            // No TLS record: the handshake fails and the connection ends without another line of SMTP.
            #expect(try await socket.line()?.hasPrefix("2") != true)
        }
    }

    @Test("AUTH is offered inside TLS only, and lets a stranger relay", arguments: [false, true])
    func authenticatesInTLS(implicit: Bool) async throws {
        try await withListener(allowed: [], mode: implicit ? .implicit : .starttls, auth: .required) { sink, port in
            let client = try await TLSDialogueClient(port: port, implicit: implicit)
            #expect(try await client.reply()?.hasPrefix("220") == true)
            if !implicit {
                _ = try await client.ask("EHLO x")
                #expect(try await client.ask("AUTH PLAIN AGFwcABzZWNyZXQ=")?.hasPrefix("538 5.7.11") == true)
                _ = try await client.ask("STARTTLS")
                try await client.startTLS()
            }
            #expect(try await client.ask("MAIL FROM:<a@x.test>") == "503 5.5.1 send EHLO first")
            _ = try await client.ask("EHLO x")
            #expect(try await client.ask("MAIL FROM:<a@x.test>") == "530 5.7.0 Authentication required")
            #expect(try await client.ask("AUTH PLAIN AGFwcAB3cm9uZw==")?.hasPrefix("535 5.7.8") == true)
            #expect(try await client.ask("AUTH LOGIN YXBw") == "334 UGFzc3dvcmQ6")
            #expect(try await client.ask("c2VjcmV0") == "235 2.7.0 Authentication successful")
            #expect(try await client.ask("MAIL FROM:<a@x.test>") == "250 2.1.0 Ok")
            #expect(try await client.ask("RCPT TO:<b@x.test>") == "250 2.1.5 Ok")
            #expect(try await client.ask("DATA")?.hasPrefix("354") == true)
            #expect(try await client.ask("A: b\r\n\r\nx\r\n.")?.hasPrefix("250 2.0.0") == true)
            let submission = try #require(sink.submissions.first)
            #expect(submission.client.protocolName == "ESMTPSA")
            #expect(submission.client.user == "app")
            #expect(submission.client.tlsDescription == "TLSv1.3")
            #expect(try await client.ask("QUIT")?.hasPrefix("221") == true)
        }
    }

    @Test("shutting down tells idle sessions 421")
    func shutsDown() async throws {
        let sink = RecordingSink()
        let listener = try makeListener(sink: sink, allowed: CIDRBlock.privateNetworks, mode: .none)
        try await listener.start()
        let socket = try DialogueSocket(port: try #require(listener.port))
        _ = try await socket.reply()
        await listener.shutdown(grace: .seconds(5))
        #expect(try await socket.reply()?.hasPrefix("421 4.3.2") == true)
        #expect(try await socket.line() == nil)
    }

    @Test("the 65th connection of one address is told 421, and places are given back")
    func countsConnections() async throws {
        var limits = ServerLimits()
        limits.connectionsPerTrustedAddress = 1
        try await withListener(limits: limits) { _, port in
            let first = try DialogueSocket(port: port)
            #expect(try await first.reply()?.hasPrefix("220") == true)
            let second = try DialogueSocket(port: port)
            #expect(try await second.reply()?.hasPrefix("421 4.7.0") == true)
            try await first.send("QUIT\r\n")
            _ = try await first.reply()
            #expect(try await first.line() == nil)
        }
    }
}
