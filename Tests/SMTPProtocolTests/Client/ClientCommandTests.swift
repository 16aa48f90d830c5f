import MailModel
import NIOCore
import SMTPProtocol
import Testing

struct ClientCommandTests {
    private func line(_ command: ClientCommand) throws -> String {
        var buffer = ByteBuffer()
        try command.write(to: &buffer)
        return String(buffer: buffer)
    }

    private func mailbox(_ local: String, _ domain: String = "example.com") -> Mailbox {
        Mailbox(localPart: local, domain: MailDomain(domain))
    }

    @Test("commands are written as RFC 5321 has them")
    func writes() throws {
        #expect(try self.line(.mail(.null, parameters: ["SIZE=5"])) == "MAIL FROM:<> SIZE=5\r\n")
        #expect(
            try self.line(.recipient(self.mailbox("\"a b\""), parameters: [])) == "RCPT TO:<\"a b\"@example.com>\r\n"
        )
        #expect(try self.line(.auth(mechanism: "PLAIN", initialResponse: "")) == "AUTH PLAIN =\r\n")
        #expect(try self.line(.authResponse("")) == "\r\n")
    }

    @Test(
        "an argument with CR, LF or NUL is refused before anything is written",
        arguments: ["\r", "\n", "\r\n", "\u{0}", "\r\nRCPT TO:<evil@example.com>"]
    )
    func injection(_ poison: String) {
        for position in 0...4 {
            var local = "user"
            local.insert(contentsOf: poison, at: local.index(local.startIndex, offsetBy: position))
            let quoted = self.mailbox("\"\(local)\"")
            let commands: [ClientCommand] = [
                .ehlo(local), .helo(local), .auth(mechanism: local, initialResponse: nil),
                .auth(mechanism: "PLAIN", initialResponse: local), .authResponse(local),
                .mail(.mailbox(self.mailbox(local)), parameters: []), .mail(.null, parameters: [local]),
                .recipient(quoted, parameters: []), .recipient(self.mailbox("a", local), parameters: []),
                .recipient(self.mailbox("a"), parameters: ["ORCPT=\(local)"]),
            ]
            for command in commands {
                var buffer = ByteBuffer()
                #expect(throws: CommandEncodingError.self) { try command.write(to: &buffer) }
                #expect(buffer.readableBytes == 0)
                #expect(!command.isWritable)
            }
        }
    }

    @Test("a refusal says why, and leaves the commands that were written before it")
    func refusal() throws {
        let rows: [(ClientCommand, CommandEncodingError)] = [
            (.mail(.mailbox(self.mailbox("a\r b")), parameters: []), .controlCharacter),
            (.mail(.mailbox(self.mailbox("a b")), parameters: []), .badArgument),
            (.authResponse(String(repeating: "A", count: 16_385)), .tooLong),
            (.authResponse(String(repeating: " ", count: 16_385)), .tooLong),
            (.ehlo(""), .badArgument),
        ]
        for (command, error) in rows {
            var buffer = ByteBuffer()
            try ClientCommand.reset.write(to: &buffer)
            #expect(throws: error) { try command.write(to: &buffer) }
            #expect(String(buffer: buffer) == "RSET\r\n")
        }
    }

    @Test("an address cannot end its path early", arguments: ["a>b", "a b", "a<b", "\"a\r\""])
    func badAddress(_ local: String) {
        #expect(throws: CommandEncodingError.self) {
            try self.line(.recipient(self.mailbox(local), parameters: []))
        }
    }
}
