import MailModel
import SMTPProtocol
import Testing

@Suite("The grammar of commands")
struct CommandParserTests {
    @Test(
        "reads commands in any case",
        arguments: [
            ("ehlo 3f2a_web", Command.hello(name: "3f2a_web", isExtended: true)),
            ("HELO [IPv6:::1] ", .hello(name: "[IPv6:::1]", isExtended: false)),
            ("data", .data), ("Rset ", .reset), ("NOOP anything", .noop), ("quit", .quit), ("StartTLS", .startTLS),
            ("bdat 12 last", .chunk(octets: 12, isLast: true)), ("BDAT 0", .chunk(octets: 0, isLast: false)),
            ("auth plain", .authenticate(mechanism: "PLAIN", initialResponse: nil)),
            ("AUTH LOGIN =", .authenticate(mechanism: "LOGIN", initialResponse: "=")),
            ("ETRN x", .unimplemented(verb: "ETRN")), ("GET / HTTP/1.1", .hypertext(verb: "GET")),
            ("User-Agent: x", .hypertext(verb: "User")), ("Host: x", .hypertext(verb: "Host")),
        ]
    )
    func reads(_ line: String, _ command: Command) {
        #expect(parsed(line) == .success(command))
    }

    @Test(
        "reads paths literally",
        arguments: [
            ("<a@x.test>", "a", "x.test"), ("  <a@x.test>", "a", "x.test"), ("<webmaster>", "webmaster", nil),
            ("<a%b@x.test>", "a%b", "x.test"), ("<\"a b\\\"@c\"@x.test>", "\"a b\\\"@c\"", "x.test"),
            ("<a..b.@docomo.test>", "a..b.", "docomo.test"), ("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
            ("<a!b@x_y.test.>", "a!b", "x_y.test."), ("<ü@例え.test>", "ü", "例え.test"),
        ]
    )
    func readsPaths(_ text: String, _ localPart: String, _ domain: String?) {
        let path = CommandPath.mailbox(localPart: localPart, domain: domain)
        #expect(parsed("RCPT TO:\(text)") == .success(.recipient(path, RecipientArguments())))
        #expect(parsed("mail from:\(text)") == .success(.mail(path, MailArguments())))
    }

    @Test(
        "refuses what is no path or no parameter",
        arguments: [
            ("RCPT TO:<>", "5.1.3"), ("RCPT TO:a@x.test", "5.1.3"), ("RCPT TO:<a@b@c>", "5.1.3"),
            ("RCPT TO:<@a:b@c>", "5.1.3"), ("RCPT TO:<a@>", "5.1.3"), ("RCPT TO:<@>", "5.1.3"),
            ("RCPT TO:<a b@c>", "5.1.3"), ("RCPT TO:<\"a@c>", "5.1.3"), ("RCPT TO:<a@[999.0.0.1]>", "5.1.3"),
            ("RCPT TO:<a@x..test>", "5.1.3"), ("RCPT TO:<a@x.test", "5.1.3"), ("RCPT TO:<a@x.test>x", "5.1.3"),
            ("MAIL FROM:<=?utf-8?q?=C3?=@x.test>", "5.6.7"), ("MAIL FROM:<a@x> SIZE=", "5.5.4"),
            ("MAIL FROM:<a@x> SIZE=1 SIZE=2", "5.5.4"), ("MAIL FROM:<a@x> BODY=BINARYMIME", "5.5.4"),
            ("MAIL FROM:<a@x> ENVID=a+zz", "5.5.4"), ("RCPT TO:<a@x> NOTIFY=NEVER,DELAY", "5.5.4"),
            ("RCPT TO:<a@x> ORCPT=a@x", "5.5.4"), ("RCPT TO:<a@x> X=", "5.5.4"), ("MAIL TO:<a@x>", "5.5.4"),
            ("EHLO", "5.5.4"), ("EHLO a\u{1}b", "5.5.4"), ("BDAT -1", "5.5.4"), ("BDAT 9999999999999999999", "5.5.4"),
            ("FOO", "5.5.2"), ("", "5.5.2"), ("DATA x", "5.5.4"), ("NOOP \0", "5.5.2"),
        ]
    )
    func refuses(_ line: String, _ status: String) {
        switch parsed(line) {
        case .success(let command): Issue.record("read as \(command)")
        case .failure(let error): #expect(error.reply.enhanced?.description == status)
        }
    }

    @Test("keeps the parameters of MAIL and RCPT, and drops AUTH=")
    func keepsParameters() {
        var mail = MailArguments()
        mail.size = 10
        mail.parameters = MailParameters(
            body: .eightBitMIME,
            smtpUTF8: true,
            returnContent: .headers,
            envelopeID: "q+2B1"
        )
        let line = "MAIL FROM:<> size=10 body=8bitmime SMTPUTF8 RET=hdrs ENVID=q+2B1 AUTH=<>"
        #expect(parsed(line) == .success(.mail(.null, mail)))
        var recipient = RecipientArguments()
        recipient.notify = [.success, .delay]
        recipient.originalRecipient = "rfc822;a+2Bb@x.test"
        let path = CommandPath.mailbox(localPart: "a", domain: "x")
        let parameters = "NOTIFY=success,DELAY ORCPT=rfc822;a+2Bb@x.test"
        #expect(parsed("RCPT TO:<a@x> \(parameters)") == .success(.recipient(path, recipient)))
    }
}

private func parsed(_ line: String) -> Result<Command, CommandSyntaxError> {
    Array(line.utf8)
        .withUnsafeBytes { octets in
            Result { () throws(CommandSyntaxError) in try Command(parsing: octets) }
        }
}
