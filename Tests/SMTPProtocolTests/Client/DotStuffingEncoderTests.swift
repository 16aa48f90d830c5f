import NIOCore
import SMTPProtocol
import Testing

struct DotStuffingEncoderTests {
    @Test(
        "lines that begin with a dot get another, and the end is CRLF dot CRLF",
        arguments: [
            ("", ".\r\n"), ("a\r\n", "a\r\n.\r\n"), ("a", "a\r\n.\r\n"), (".\r\n", "..\r\n.\r\n"),
            ("a\r\n.b\r\n", "a\r\n..b\r\n.\r\n"), ("..\r\n.\r\n", "...\r\n..\r\n.\r\n"),
            ("\r\n.\r\n", "\r\n..\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"), ("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"), ("a\r", "a\r\n.\r\n"),
            ("a\r\r\n.", "a\r\n\r\n..\r\n.\r\n"), ("a.b.c\r\nd..", "a.b.c\r\nd..\r\n.\r\n"),
        ]
    )
    func stuffs(_ content: String, _ expected: String) {
        let bytes = Array(content.utf8)
        for cut in 0...bytes.count {
            var encoder = DotStuffingEncoder()
            var output = ByteBuffer()
            encoder.write(ByteBuffer(bytes: bytes[..<cut]), to: &output)
            encoder.write(ByteBuffer(bytes: bytes[cut...]), to: &output)
            encoder.finish(to: &output)
            #expect(String(buffer: output) == expected, "cut at \(cut)")
        }
    }
}
