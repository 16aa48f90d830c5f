import Foundation
import MailModel
import NIOCore
import SMTPProtocol
import SMTPServer
import Synchronization
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

    @Test(
        "a wrong password of a client that has gone harms nobody else, and is counted where it was looked at",
        arguments: [(false, 6), (true, 0)]
    )
    func survivesLateFailures(_ asksWhetherWanted: Bool, _ failures: Int) async throws {
        let bounds = SharedBounds()
        let authenticator = SlowRefusal(asksWhetherWanted: asksWhetherWanted)
        try await withListener(bounds: bounds, auth: .required, authWithoutTLS: true, authenticator: authenticator) {
            _,
            port in
            for number in 1...6 {
                try await self.guessAndLeave(port) { authenticator.count == number }
            }
            try await eventually("all are gone") { bounds.connections.total == 0 }
            authenticator.answer()
            try await eventually("all were answered, and the failures are counted") {
                authenticator.answers.count == 6 && bounds.guesses.failures(of: .v4(0x7F00_0001)) == failures
            }
            #expect(Set(authenticator.answers) == [asksWhetherWanted ? .abandoned : .refused])
            let next = try DialogueSocket(port: port)
            #expect(try await next.reply()?.hasPrefix("220") == true)
        }
    }

    @Test("guesses that wait while their address is left out are not looked at")
    func abandonsParallelGuesses() async throws {
        let bounds = SharedBounds(guesses: AuthenticationLedger(limit: 2))
        let authenticator = SlowRefusal()
        try await withListener(bounds: bounds, auth: .required, authWithoutTLS: true, authenticator: authenticator) {
            _,
            port in
            var sockets: [DialogueSocket] = []
            for number in 1...5 {
                let socket = try DialogueSocket(port: port)
                _ = try await socket.reply()
                try await socket.send("EHLO x\r\nAUTH PLAIN AGFwcAB3cm9uZw==\r\n")
                _ = try await socket.reply()
                try await eventually("the password is being checked") { authenticator.count == number }
                sockets.append(socket)
            }
            authenticator.answer(2)
            for socket in sockets.prefix(2) {
                #expect(try await socket.reply()?.hasPrefix("535 5.7.8") == true)
            }
            authenticator.answer()
            for socket in sockets.dropFirst(2) {
                #expect(try await socket.reply()?.hasPrefix("421 4.7.0 too many failed authentications from") == true)
            }
            #expect(authenticator.answers.filter { $0 == .abandoned }.count == 3)
        }
    }

    @Test("where too many wait for their login the next one is told to come back, which counts as no failure")
    func putsLoginsOff() async throws {
        let bounds = SharedBounds()
        let busy = Busy()
        try await withListener(bounds: bounds, auth: .required, authWithoutTLS: true, authenticator: busy) { _, port in
            let socket = try DialogueSocket(port: port)
            _ = try await socket.reply()
            try await socket.send("EHLO x\r\nAUTH PLAIN AGFwcABzZWNyZXQ=\r\nNOOP\r\n")
            _ = try await socket.reply()
            #expect(try await socket.reply()?.hasPrefix("454 4.7.0 ") == true)
            #expect(try await socket.reply()?.hasPrefix("250 ") == true)
            #expect(bounds.guesses.failures(of: .v4(0x7F00_0001)) == 0)
        }
    }

    /// The reply to EHLO is never read, so that the close resets the connection.
    private func guessAndLeave(_ port: Int, when isAsked: @Sendable () -> Bool) async throws {
        let socket = try DialogueSocket(port: port)
        _ = try await socket.reply()
        try await socket.send("EHLO x\r\nAUTH PLAIN AGFwcAB3cm9uZw==\r\n")
        try await eventually("the password is being checked") { isAsked() }
        withExtendedLifetime(socket) {}
    }

    @Test("the envelope of a client that goes away in its transaction is given back to the budget")
    func forgetsEnvelopes() async throws {
        let bounds = SharedBounds()
        try await withListener(bounds: bounds) { _, port in
            try await self.nameMany(port, bounds)
            try await eventually("the budget is whole") { bounds.memory.used == 0 }
        }
    }

    private func nameMany(_ port: Int, _ bounds: SharedBounds) async throws {
        let socket = try DialogueSocket(port: port)
        _ = try await socket.reply()
        let recipients = (0..<500).map { "RCPT TO:<somebody-\($0)@x.test>\r\n" }.joined()
        try await socket.send("EHLO x\r\nMAIL FROM:<a@x.test>\r\n" + recipients)
        for _ in 0..<502 {
            _ = try await socket.reply()
        }
        try await eventually("the envelope is counted") { bounds.memory.used > 0 }
    }

    @Test("all addresses of IPv4 and all of IPv6 can be listened on beside each other", .enabled(if: hasIPv6()))
    func listensOnBoth() async throws {
        let four = try makeListener(sink: RecordingSink(), allowed: [], mode: .none, host: "0.0.0.0")
        try await four.start()
        let six = try makeListener(
            sink: RecordingSink(),
            allowed: [],
            mode: .none,
            host: "::",
            port: try #require(four.port)
        )
        do {
            try await six.start()
        } catch {
            Issue.record("\(error)")
        }
        await six.shutdown(grace: .zero)
        await four.shutdown(grace: .zero)
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

/// Refuses everybody, or everybody who is still wanted, but only when it is told to answer.
private final class SlowRefusal: Authenticator {
    private let asksWhetherWanted: Bool
    private let waiting = Mutex<[CheckedContinuation<Void, Never>]>([])
    private let results = Mutex<[AuthenticationResult]>([])

    var count: Int {
        self.waiting.withLock(\.count)
    }

    init(asksWhetherWanted: Bool = true) {
        self.asksWhetherWanted = asksWhetherWanted
    }

    /// What was answered, in that order.
    var answers: [AuthenticationResult] {
        self.results.withLock { $0 }
    }

    /// Answers the first of those who wait, or all.
    func answer(_ number: Int = .max) {
        let first = self.waiting.withLock { waiting in
            defer { waiting = Array(waiting.dropFirst(number)) }
            return waiting.prefix(number)
        }
        first.forEach { $0.resume() }
    }

    @concurrent
    func authenticate(
        user: String,
        password: String,
        from address: IPAddress,
        isWanted: @escaping @Sendable () -> Bool
    ) async -> AuthenticationResult {
        await withCheckedContinuation { continuation in
            self.waiting.withLock { $0.append(continuation) }
        }
        let result = self.asksWhetherWanted && !isWanted() ? AuthenticationResult.abandoned : .refused
        self.results.withLock { $0.append(result) }
        return result
    }
}

/// Has no time for anybody.
private struct Busy: Authenticator {
    @concurrent
    func authenticate(
        user: String,
        password: String,
        from address: IPAddress,
        isWanted: @escaping @Sendable () -> Bool
    ) async -> AuthenticationResult {
        .busy
    }
}

private func hasIPv6() -> Bool {
    FileManager.default.fileExists(atPath: "/proc/net/if_inet6")
        && (try? String(contentsOfFile: "/proc/net/if_inet6", encoding: .utf8))?.isEmpty == false
}
