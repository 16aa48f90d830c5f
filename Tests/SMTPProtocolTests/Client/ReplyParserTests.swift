import MailModel
import NIOCore
import SMTPProtocol
import Testing

struct ReplyParserTests {
    private static let dialogue =
        "220 mx ready\r\n250-mx hello\r\n250-SIZE 10\r\n250 PIPELINING\r\n250 2.1.0 ok\r\n"
        + "550-5.1.1 no\r\n550 5.1.1 such user\r\n354\r\n421 4.3.2 b\u{7}ye\n"

    private static let replies = [
        Reply(220, nil, "mx ready"),
        Reply(250, lines: ["mx hello", "SIZE 10", "PIPELINING"]),
        Reply(250, .init(2, 1, 0), "ok"),
        Reply(550, .init(5, 1, 1), lines: ["no", "such user"]),
        Reply(354, nil, ""),
        Reply(421, .init(4, 3, 2), "b?ye"),
    ]

    @Test("any cut of the bytes into two reads gives the same replies")
    func splits() throws {
        let bytes = Array(Self.dialogue.utf8)
        for cut in 0...bytes.count {
            var parser = ReplyParser()
            var buffer = ByteBuffer()
            var found: [Reply] = []
            for part in [bytes[..<cut], bytes[cut...]] {
                buffer.writeBytes(part)
                while let reply = try parser.next(from: &buffer) {
                    found.append(reply)
                }
            }
            #expect(found == Self.replies, "cut at \(cut)")
        }
    }

    @Test(
        "what is no reply is an error and never a trap",
        arguments: [
            "hello\r\n", "\r\n", "25\r\n", "999 x\r\n", "100 x\r\n", "250-a\r\n251 b\r\n", "250x\r\n", "\u{0}\r\n",
            "2 5 0\n",
        ]
    )
    func refuses(_ text: String) {
        #expect(throws: ReplySyntaxError.notAReply) {
            var parser = ReplyParser()
            var buffer = ByteBuffer(string: text)
            _ = try parser.next(from: &buffer)
            _ = try parser.next(from: &buffer)
        }
    }

    @Test("the longest line is taken, however it comes")
    func longestLine() throws {
        let line = "250 " + String(repeating: "x", count: ReplyParser.lineLimit - 4)
        for cut in [0, ReplyParser.lineLimit, ReplyParser.lineLimit + 1] {
            var parser = ReplyParser()
            var buffer = ByteBuffer(string: String("\(line)\r\n".utf8.prefix(cut)) ?? "")
            #expect(try parser.next(from: &buffer) == nil)
            buffer.writeString(String("\(line)\r\n".utf8.dropFirst(cut)) ?? "")
            #expect(try parser.next(from: &buffer)?.lines.first?.utf8.count == ReplyParser.lineLimit - 4)
        }
    }

    @Test("a line without end and a reply without end are cut off")
    func bounds() {
        var long = ByteBuffer(string: "250 " + String(repeating: "x", count: ReplyParser.lineLimit))
        var many = ByteBuffer(string: String(repeating: "250-x\r\n", count: ReplyParser.maximumLines + 1))
        let line = "250-" + String(repeating: "x", count: 1_000) + "\r\n"
        var heavy = ByteBuffer(string: String(repeating: line, count: 33))
        #expect(throws: ReplySyntaxError.replyTooLong) {
            var parser = ReplyParser()
            _ = try parser.next(from: &heavy)
        }
        #expect(throws: ReplySyntaxError.lineTooLong) {
            var parser = ReplyParser()
            _ = try parser.next(from: &long)
        }
        #expect(throws: ReplySyntaxError.tooManyLines) {
            var parser = ReplyParser()
            _ = try parser.next(from: &many)
        }
    }
}
