import MailModel
import SMTPProtocol
import TestKit
import Testing

import struct NIOCore.ByteBuffer

@Suite("The server's session")
struct ServerSessionTests {
    static func policy() -> SessionPolicy {
        SessionPolicy(hostname: "relay.example", qualifyDomain: "example.org", mayRelay: true)
    }

    @Test(
        "plays its dialogues, whole or octet by octet",
        arguments: ["django", "pipelining", "bdat", "out-of-order", "http", "bare-line-feed"],
        [false, true]
    )
    func playsDialogues(_ name: String, isSplit: Bool) async throws {
        var peer = SplittingPeer(peer: SessionPeer(ServerSession(policy: Self.policy())), isSplit: isSplit)
        let difference = try await Dialogue(fixture: name).play(against: &peer)
        #expect(difference == nil)
    }

    @Test(
        "gives one reply to content that could smuggle, and opens no second transaction",
        arguments: ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r\n\0.\r\n", "\r.\r\n", "\r\r\n"]
    )
    func refusesSmuggling(_ end: String) {
        var peer = Self.opened()
        peer.send(Array("A: b\r\n\r\nx\(end)MAIL FROM:<evil@x.test>\r\nRCPT TO:<v@x.test>\r\n\r\n.\r\n".utf8))
        let replies = Self.lines(of: &peer)
        #expect(replies.count == 1)
        #expect(replies.first?.hasPrefix("554 5.") == true)
        #expect(peer.messages.isEmpty)
    }

    @Test("dot-stuffing comes off, and any split of the reads gives the same content")
    func unstuffs() {
        let wire = "A: b\r\n\r\n..\r\n...x\r\n.y\r\nü\r\n\r\n\(String(repeating: "l", count: 3_000))\r\n"
        let plain = "A: b\r\n\r\n.\r\n..x\r\ny\r\nü\r\n\r\n\(String(repeating: "l", count: 3_000))\r\n"
        for size in [1, 2, 3, 5, 7, 64, 5_000] {
            var peer = Self.opened()
            let octets = Array("\(wire).\r\n".utf8)
            for start in stride(from: 0, to: octets.count, by: size) {
                peer.send(Array(octets[start..<min(start + size, octets.count)]))
            }
            #expect(peer.messages.map { String(buffer: $0) } == [plain])
            #expect(peer.session.headerLength == 8)
            #expect(peer.session.isEightBit)
        }
    }

    @Test(
        "commands without mail come to an end, whatever they are",
        arguments: ["NOOP", "MAIL FROM:<a@x.test> SIZE=99999999999"]
    )
    func endsChatter(_ command: String) {
        var policy = Self.policy()
        policy.limits.commandsWithoutMail = 5
        var peer = SessionPeer(ServerSession(policy: policy))
        peer.send(Array(("EHLO x\r\n" + String(repeating: command + "\r\n", count: 9)).utf8))
        let replies = Self.lines(of: &peer)
        #expect(replies.last == "421 4.7.0 too many commands without mail; closing")
    }

    @Test("random octets never trap", arguments: UInt64(1)...50)
    func survivesGarbage(_ seed: UInt64) {
        var state = seed
        var peer = SessionPeer(ServerSession(policy: Self.policy()))
        let words = [
            "EHLO ", "MAIL FROM:<", "RCPT TO:<", "DATA", "BDAT ", "9", " LAST", "\r\n", "\r\n", "\r\n", ">", "@", "\"",
            "\\",
            "AUTH PLAIN ", "=", " SIZE=", ".\r\n", "[", "]", "RSET", "a", "é", "+", ";", "ORCPT=", "\0", "x.test",
        ]
        for _ in 0..<300 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let pick = Int(state >> 33)
            peer.send(pick % 11 == 0 ? [UInt8(truncatingIfNeeded: pick >> 4)] : Array(words[pick % words.count].utf8))
        }
        #expect(peer.messages.count >= 0)
    }

    @Test("a client outside of the allowed networks cannot relay, and is cut after 20 errors")
    func deniesRelay() {
        var policy = Self.policy()
        policy.mayRelay = false
        var peer = SessionPeer(ServerSession(policy: policy))
        peer.send(Array("EHLO x\r\nMAIL FROM:<a@x.test>\r\n".utf8))
        _ = Self.lines(of: &peer)
        for _ in 0..<25 {
            peer.send(Array("RCPT TO:<b%c@x.test>\r\n".utf8))
        }
        let replies = Self.lines(of: &peer)
        #expect(replies.first?.hasPrefix("550 5.7.1 relaying denied for <b%c@x.test>") == true)
        #expect(replies.last?.hasPrefix("421 4.7.0") == true)
        #expect(replies.count == 20)
    }

    @Test("AUTH: PLAIN and LOGIN, with and without initial response, cancelled, and three failures")
    func authenticates() {
        var policy = Self.policy()
        policy.mayRelay = false
        policy.authentication = .required
        policy.allowsAuthenticationWithoutTLS = true
        let right = ["AUTH PLAIN AGFwcABzZWNyZXQ=", "AUTH PLAIN\r\nAGFwcABzZWNyZXQ=", "auth login YXBw\r\nc2VjcmV0"]
        for script in right + ["AUTH LOGIN\r\nYXBw\r\nc2VjcmV0"] {
            var peer = SessionPeer(ServerSession(policy: policy))
            peer.send(Array("EHLO x\r\nMAIL FROM:<a@x.test>\r\n\(script)\r\n".utf8))
            let replies = Self.lines(of: &peer)
            #expect(replies.contains("530 5.7.0 Authentication required"))
            #expect(replies.last == "235 2.7.0 Authentication successful")
            #expect(peer.session.authenticatedUser == "app")
        }
        var peer = SessionPeer(ServerSession(policy: policy))
        peer.send(Array("EHLO x\r\nAUTH LOGIN\r\n*\r\n".utf8))
        #expect(Self.lines(of: &peer).last == "501 5.7.0 authentication cancelled")
        for _ in 0..<4 {
            peer.send(Array("AUTH PLAIN AGFwcAB3cm9uZw==\r\n".utf8))
        }
        #expect(Self.lines(of: &peer).map { $0.prefix(3) } == ["535", "535", "535", "421"])
    }

    @Test("an overlong line of AUTH ends the exchange, however it was cut into reads", arguments: [100, 1_000, 20_000])
    func overlongExchange(_ size: Int) {
        var policy = Self.policy()
        policy.authentication = .optional
        var peer = SessionPeer(ServerSession(policy: policy, isTLSActive: true))
        let tooLong = String(repeating: "x", count: 13_000)
        let octets = Array("EHLO app\r\nAUTH LOGIN\r\n\(tooLong)\r\nNOOP\r\n\(tooLong)\r\nNOOP\r\n".utf8)
        for start in stride(from: 0, to: octets.count, by: size) {
            peer.send(Array(octets[start..<min(start + size, octets.count)]))
        }
        #expect(
            Self.lines(of: &peer).suffix(5) == [
                "334 VXNlcm5hbWU6", "500 5.5.6 authentication exchange line is too long", "250 2.0.0 Ok",
                "500 5.5.2 line too long", "250 2.0.0 Ok",
            ]
        )
    }

    @Test("octets behind STARTTLS are not taken, and EHLO is forgotten")
    func forgetsAtTLS() {
        var policy = Self.policy()
        policy.offersSTARTTLS = true
        var peer = SessionPeer(ServerSession(policy: policy))
        peer.send(Array("EHLO x\r\nSTARTTLS\r\nEHLO evil\r\n".utf8))
        #expect(peer.session.clientName == nil)
        #expect(peer.session.isTLSActive)
    }

    @Test("REQUIRETLS is offered and taken inside TLS only (RFC 8689 §2)")
    func requireTLS() {
        let mail = Array("EHLO x\r\nMAIL FROM:<a@x.test> REQUIRETLS\r\n".utf8)
        var open = SessionPeer(ServerSession(policy: Self.policy()))
        open.send(mail)
        let refused = Self.lines(of: &open)
        #expect(!refused.contains { $0.hasSuffix("REQUIRETLS") })
        #expect(refused.last?.hasPrefix("555 5.5.4 REQUIRETLS is offered over TLS only") == true)
        var secret = SessionPeer(ServerSession(policy: Self.policy(), isTLSActive: true))
        secret.send(mail + Array("RSET\r\nMAIL FROM:<a@x.test> REQUIRETLS=1\r\n".utf8))
        let lines = Self.lines(of: &secret)
        #expect(lines.contains("250-REQUIRETLS"))
        #expect(lines.suffix(3).map { $0.prefix(3) } == ["250", "250", "501"])
    }

    @Test("why content is refused does not depend on how it was cut into reads", arguments: [false, true])
    func refusesAlike(isSplit: Bool) {
        var policy = Self.policy()
        policy.limits.headerSection = 60
        policy.limits.messageSize = 100
        let header = "A: \(String(repeating: "x", count: 70))"
        let rows = [
            ("\(header)\r\n\r\n\(String(repeating: "y", count: 90))", "552 5.3.4 header section"),
            ("\(header)\r\n\r\n\(String(repeating: "y", count: 90))\nz", "554 5.5.2 bare LF"),
            ("A: b\r\n\r\n\(String(repeating: "y", count: 110))\0", "554 5.6.0 NUL"),
            ("A: b\r\n\r\n\(String(repeating: "y", count: 110))", "552 5.3.4 message size"),
        ]
        for (content, reply) in rows {
            var peer = SessionPeer(ServerSession(policy: policy))
            peer.send(Array("EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n".utf8))
            _ = Self.lines(of: &peer)
            let octets = Array("\(content)\r\n.\r\n".utf8)
            for start in stride(from: 0, to: octets.count, by: isSplit ? 1 : octets.count) {
                peer.send(Array(octets[start..<min(octets.count, start + (isSplit ? 1 : octets.count))]))
            }
            #expect(Self.lines(of: &peer).map { $0.hasPrefix(reply) } == [true])
        }
    }

    @Test("the recipient over the limit waits and is counted, and content over the limit is refused at its end")
    func limits() {
        var policy = Self.policy()
        policy.limits.recipients = 1
        policy.limits.messageSize = 100
        var peer = SessionPeer(ServerSession(policy: policy))
        peer.send(Array("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n".utf8))
        #expect(Self.lines(of: &peer).last?.hasPrefix("452 4.5.3") == true)
        #expect(peer.session.recipientsLeftOut == 1)
        peer.send(Array("DATA\r\n\(String(repeating: "x", count: 110))\r\n.\r\n".utf8))
        #expect(Self.lines(of: &peer).last?.hasPrefix("552 5.3.4") == true)
        peer.send(Array("MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n\(String(repeating: "x", count: 300))".utf8))
        #expect(Self.lines(of: &peer).last?.hasPrefix("552 5.3.4") == true)
    }

    private static func opened() -> SessionPeer {
        var peer = SessionPeer(ServerSession(policy: self.policy()))
        peer.send(Array("EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n".utf8))
        _ = self.lines(of: &peer)
        return peer
    }

    private static func lines(of peer: inout SessionPeer) -> [String] {
        var lines: [String] = []
        while let line = peer.line() {
            lines.append(line)
        }
        return lines
    }
}

/// Hands octets on one at a time.
private struct SplittingPeer: DialoguePeer {
    var peer: SessionPeer
    let isSplit: Bool

    mutating func send(_ octets: [UInt8]) {
        guard self.isSplit else {
            self.peer.send(octets)
            return
        }
        for octet in octets {
            self.peer.send([octet])
        }
    }

    mutating func line() -> String? {
        self.peer.line()
    }
}
