import MailModel
import SMTPProtocol
import Testing

struct ClientSessionTests {
    private static let path = ForwardPath(mailbox: Mailbox(localPart: "a", domain: MailDomain("example.com")))
    private static let other = ForwardPath(mailbox: Mailbox(localPart: "b", domain: MailDomain("example.com")))
    private static let ok = Reply(250, nil, "ok")

    private func ready(
        offering words: [String],
        _ change: (inout ClientSession.Configuration) -> Void = { _ in }
    )
        -> (ClientSession, ClientSession.Action)
    {
        var configuration = ClientSession.Configuration(name: "us.example")
        change(&configuration)
        var session = ClientSession(configuration)
        _ = session.receive(Reply(220, nil, "them.example ready"))
        let action = session.receive(Reply(250, lines: ["them.example"] + words))
        return (session, action)
    }

    private func mail(_ paths: [ForwardPath], size: Int = 10, isEightBit: Bool = false) -> MailTransaction {
        MailTransaction(reversePath: .null, forwardPaths: paths, size: size, isEightBit: isEightBit)
    }

    @Test("MAIL, RCPT and DATA go as one group when PIPELINING is offered, and a refused recipient stays alone")
    func pipelined() {
        var (session, action) = self.ready(offering: ["PIPELINING"])
        #expect(action == .ready)
        let group: [ClientCommand] = [
            .mail(.null, parameters: []), .recipient(Self.path.mailbox, parameters: []),
            .recipient(Self.other.mailbox, parameters: []), .data,
        ]
        #expect(session.begin(self.mail([Self.path, Self.other])) == .send(group))
        #expect(session.receive(Self.ok) == .wait)
        #expect(session.receive(Self.ok) == .wait)
        let refusal = Reply(550, .init(5, 1, 1), "no such user")
        #expect(session.receive(refusal) == .wait)
        #expect(session.receive(Reply(354, nil, "go")) == .sendContent)
        session.contentSent()
        #expect(session.stage == .commit)
        let results: [RecipientResult] = [.accepted(Self.ok), .failed(.init(.rcpt, .reply(refusal)))]
        #expect(session.receive(Self.ok) == .finished(results))
        #expect(session.isReusable)
    }

    @Test("354 for nobody is answered with a lone dot, and its 250 delivers nothing (RFC 2920 §3.1)")
    func emptyMessage() {
        var (session, _) = self.ready(offering: ["PIPELINING"])
        _ = session.begin(self.mail([Self.path]))
        let refusal = Reply(550, .init(5, 1, 1), "no such user")
        _ = session.receive(Self.ok)
        _ = session.receive(refusal)
        #expect(session.receive(Reply(354, nil, "go")) == .sendFinalDot)
        #expect(session.receive(Self.ok) == .finished([.failed(.init(.rcpt, .reply(refusal)))]))
    }

    @Test("without PIPELINING each command waits for its reply, and RSET comes before the next message")
    func stepByStep() {
        var (session, _) = self.ready(offering: [])
        #expect(session.begin(self.mail([Self.path])) == .send([.mail(.null, parameters: [])]))
        #expect(session.receive(Self.ok) == .send([.recipient(Self.path.mailbox, parameters: [])]))
        guard case .finished = session.receive(Reply(450, nil, "later")) else {
            Issue.record("a transaction without recipients must end")
            return
        }
        #expect(session.begin(self.mail([Self.path])) == .send([.reset]))
        #expect(session.receive(Self.ok) == .send([.mail(.null, parameters: [])]))
    }

    @Test("a message that the server cannot carry is not offered to it")
    func obstacles() {
        var (session, _) = self.ready(offering: ["SIZE 100"])
        let tooLarge = ClientFailure(.mail, .tooLarge(limit: 100))
        #expect(session.begin(self.mail([Self.path], size: 101)) == .finished([.failed(tooLarge)]))
        let foreign = ForwardPath(mailbox: Mailbox(localPart: "飛脚", domain: MailDomain("example.com")))
        let missing = ClientFailure(.mail, .notOffered("SMTPUTF8"))
        #expect(session.begin(self.mail([foreign])) == .finished([.failed(missing)]))
        #expect(session.isReusable)
    }

    @Test("a connection lost after the final dot is ambiguous, before it is not")
    func lost() {
        var (session, _) = self.ready(offering: ["PIPELINING"])
        _ = session.begin(self.mail([Self.path]))
        _ = session.receive(Self.ok)
        _ = session.receive(Self.ok)
        _ = session.receive(Reply(354, nil, "go"))
        var early = session
        let before = ClientFailure(.data, .lost("reset"))
        #expect(early.interrupted(by: .lost("reset"), dotMayHaveLeft: true) == .finished([.failed(before)]))
        session.contentSent()
        let after = ClientFailure(.commit, .timeout, mayHaveBeenAccepted: true)
        #expect(session.interrupted(by: .timeout, dotMayHaveLeft: true) == .finished([.failed(after)]))
    }

    @Test("with required TLS a server without STARTTLS hears neither AUTH nor MAIL")
    func stripped() {
        let login = ClientLogin(username: "u", secret: "s", mechanisms: [.plain]) { _, _ in [] }
        let (_, action) = self.ready(offering: ["AUTH PLAIN"]) {
            $0.startTLS = .required
            $0.login = login
        }
        #expect(action == .fail(ClientFailure(.tls, .notOffered("STARTTLS"))))
        let (_, clear) = self.ready(offering: ["AUTH PLAIN"]) { $0.login = login }
        #expect(clear == .fail(ClientFailure(.auth, .notOffered("AUTH over TLS"))))
    }

    @Test("after TLS everything that was said before is forgotten (RFC 3207 §4.2)")
    func forgets() {
        var (session, action) = self.ready(offering: ["STARTTLS", "PIPELINING"]) { $0.startTLS = .ifOffered }
        #expect(action == .send([.startTLS]))
        #expect(session.receive(Reply(220, nil, "go")) == .startTLS)
        #expect(session.tlsEstablished() == .send([.ehlo("us.example")]))
        #expect(session.receive(Reply(250, nil, "them.example")) == .ready)
        #expect(!session.extensions.pipelining)
    }

    @Test("no order of replies traps")
    func anyReplies() {
        let codes: [UInt16] = [220, 250, 334, 354, 421, 450, 503, 550]
        for seed in 0..<4096 {
            var (session, _) = self.ready(offering: ["PIPELINING"])
            _ = session.begin(self.mail([Self.path, Self.other]))
            var rest = seed
            for _ in 0..<6 {
                if session.receive(Reply(codes[rest % 8], nil, "x")) == .sendContent {
                    session.contentSent()
                }
                rest /= 8
            }
            _ = session.interrupted(by: .timeout, dotMayHaveLeft: true)
            #expect(!session.isReusable)
        }
    }

    @Test(
        "a reply that quotes what was said in AUTH is kept without it",
        arguments: [
            (ClientMechanism.plain, "AHRpbQBtYXJrZWRTZWNyZXQxMjM=", "[hidden]"),
            (.plain, "AHRPBQBTYXJRZWRTZWNYZXQXMJM=", "[hidden]"),
            (.plain, "AHRpbQBtYXJrZWRTZWNy", "[hidden]"), (.plain, "tim markedSecret123", "tim [hidden]"),
            (.login, "bWFya2VkU2VjcmV0MTIz", "[hidden]"),
            (.xoauth2, "auth=Bearer markedSecret123", "auth=Bearer [hidden]"),
        ]
    )
    func quotedSecret(_ mechanism: ClientMechanism, _ quoted: String, _ kept: String) {
        let text = "Unrecognized command, authentication required: "
        for isCancelled in [false, true] {
            var (session, _) = self.authenticating(by: mechanism)
            for _ in 0..<((mechanism == .login ? 2 : isCancelled ? 1 : 0) + (isCancelled ? 1 : 0)) {
                _ = session.receive(Reply(334, nil, ""))
            }
            let failure = ClientFailure(.auth, .reply(Reply(500, .init(5, 5, 2), text + kept)))
            #expect(session.receive(Reply(500, .init(5, 5, 2), text + quoted)) == .fail(failure))
        }
    }

    @Test("a later reply on the connection does not bring the password back either")
    func quotedLater() {
        var (session, _) = self.authenticating(by: .plain)
        #expect(session.receive(Reply(235, nil, "welcome")) == .ready)
        _ = session.begin(self.mail([Self.path]))
        let failure = ClientFailure(.mail, .reply(Reply(500, nil, "AUTH PLAIN [hidden] what?")))
        let action = session.receive(Reply(500, nil, "AUTH PLAIN AHRpbQBtYXJrZWRTZWNyZXQxMjM= what?"))
        #expect(action == .finished([.failed(failure)]))
        var dumped = ""
        dump(session, to: &dumped)
        #expect(!dumped.contains("markedSecret123"))
    }

    private func authenticating(by mechanism: ClientMechanism) -> (ClientSession, ClientSession.Action) {
        self.ready(offering: ["AUTH \(mechanism.rawValue)"]) {
            $0.allowsClearTextLogin = true
            $0.login = ClientLogin(username: "tim", secret: "markedSecret123", mechanisms: [mechanism]) { $0 + $1 }
        }
    }
}
