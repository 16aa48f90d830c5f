import MailModel
import NIOCore
import SMTPProtocol
import SMTPServer
import TestKit
import Testing

@Suite("The listener under abuse")
struct AbuseTests {
    @Test("an address that guesses is left out, in its session and at the next greeting")
    func blocksGuessing() async throws {
        let bounds = SharedBounds(guesses: AuthenticationLedger(limit: 2))
        try await withListener(mode: .none, bounds: bounds, auth: .required, authWithoutTLS: true) { _, port in
            let socket = try DialogueSocket(port: port)
            _ = try await socket.reply()
            try await socket.send("EHLO x\r\n" + String(repeating: "AUTH PLAIN AGFwcAB3cm9uZw==\r\n", count: 3))
            _ = try await socket.reply()
            #expect(try await socket.reply()?.hasPrefix("535 5.7.8") == true)
            #expect(try await socket.reply()?.hasPrefix("535 5.7.8") == true)
            #expect(try await socket.reply()?.hasPrefix("421 4.7.0 too many failed authentications from") == true)
            #expect(try await socket.line() == nil)
            let next = try DialogueSocket(port: port)
            #expect(try await next.reply()?.hasPrefix("421 4.7.0 too many failed authentications from") == true)
        }
    }

    @Test("who holds more than a share when memory is used up reads 421 4.3.2, and the budget is whole again")
    func shedsHoarders() async throws {
        let bounds = SharedBounds(memory: MemoryBudget(limit: 40_000))
        try await withListener(bounds: bounds) { sink, port in
            let socket = try DialogueSocket(port: port)
            try await socket.begin()
            try await socket.send("X: \(String(repeating: "x", count: 60_000))")
            #expect(try await socket.reply()?.hasPrefix("421 4.3.2 too many large messages") == true)
            #expect(try await socket.line() == nil)
            #expect(bounds.memory.used == 0)
            let next = try DialogueSocket(port: port)
            try await next.begin()
            try await next.send("A: b\r\n\r\nx\r\n.\r\n")
            #expect(try await next.reply()?.hasPrefix("250 2.0.0") == true)
            #expect(sink.submissions.count == 1)
        }
    }

    @Test("content goes to the spool early when memory is used up, and is taken")
    func spoolsWhenTight() async throws {
        let bounds = SharedBounds(memory: MemoryBudget(limit: 20_000))
        try await withListener(bounds: bounds) { sink, port in
            let socket = try DialogueSocket(port: port)
            try await socket.begin()
            let line = String(repeating: "x", count: 998) + "\r\n"
            try await socket.send("A: b\r\n\r\n\(String(repeating: line, count: 150)).\r\n")
            #expect(try await socket.reply()?.hasPrefix("250 2.0.0") == true)
            guard case .spooled(let spool as MemorySpool) = try #require(sink.submissions.first).content else {
                Issue.record("content of 150 kB is spooled when memory is tight")
                return
            }
            #expect(spool.state.text.utf8.count == "Received: test\r\nA: b\r\n\r\n".utf8.count + 150_000)
            #expect(bounds.memory.used == 0)
        }
    }

    @Test("a message of many small chunks does not stay in memory")
    func spoolsChunks() async throws {
        try await withListener { sink, port in
            let socket = try DialogueSocket(port: port)
            _ = try await socket.reply()
            try await socket.send("EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nBDAT 8\r\nA: b\r\n\r\n")
            for _ in 0..<4 {
                _ = try await socket.reply()
            }
            let chunk = String(repeating: "x", count: 9_998) + "\r\n"
            for _ in 0..<40 {
                try await socket.send("BDAT 10000\r\n\(chunk)")
                #expect(try await socket.reply()?.hasPrefix("250 2.0.0") == true)
            }
            try await socket.send("BDAT 0 LAST\r\n")
            #expect(try await socket.reply()?.hasPrefix("250 2.0.0 Ok: queued") == true)
            guard case .spooled = try #require(sink.submissions.first).content else {
                Issue.record("400 kB are spooled, however they come")
                return
            }
        }
    }

    @Test("idle connections make room when there are nearly too many")
    func cutsIdleInCrowd() async throws {
        var limits = ServerLimits()
        limits.connections = 8
        limits.crowdedTimeout = .milliseconds(100)
        try await withListener(limits: limits) { _, port in
            let sockets = try (0..<7).map { _ in try DialogueSocket(port: port) }
            for socket in sockets {
                _ = try await socket.reply()
                try await socket.send("EHLO x\r\n")
                _ = try await socket.reply()
            }
            // Which of them goes first is left open; once there is room, the others stay.
            #expect(try await sockets[0].reply() == "421 4.3.2 too many connections, idle ones are closed")
        }
    }

    @Test("a client that pipelines without end and without reading is cut, and others are served meanwhile")
    func cutsDeafClient() async throws {
        var limits = ServerLimits()
        limits.commandTimeout = .milliseconds(500)
        limits.crowdedTimeout = .milliseconds(200)
        try await withListener(limits: limits) { _, port in
            let deaf = try DialogueSocket(port: port)
            let round =
                "MAIL FROM:<a@x.test>\r\n" + String(repeating: "RCPT TO:<b@x.test>\r\n", count: 900) + "RSET\r\n"
            async let flood: Void = deaf.send("EHLO x\r\n" + String(repeating: round, count: 600))
            let good = try DialogueSocket(port: port)
            try await good.begin()
            try await good.send("A: b\r\n\r\nx\r\n.\r\n")
            #expect(try await good.reply()?.hasPrefix("250 2.0.0") == true)
            // Ends when the server has closed.
            try await flood
        }
    }
}
