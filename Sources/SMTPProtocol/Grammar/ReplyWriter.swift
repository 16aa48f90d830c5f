package import MailModel

package import struct NIOCore.ByteBuffer

/// Writes replies as they go over the wire (RFC 5321 §4.2, RFC 2034).
package enum ReplyWriter {
    /// Octets of text that go into one line: 512 with code, enhanced code and CRLF (RFC 5321 §4.5.3.1.5).
    private static let maximumText = 490

    /// Octets around the text of a line: two codes with what parts them, and CRLF.
    private static let maximumFrame = 32

    /// Appends every line of the reply; control characters in the text become `?`, and an overlong line is cut.
    package static func write(_ reply: Reply, to output: inout ByteBuffer) {
        let last = reply.lines.count - 1
        for (index, line) in reply.lines.enumerated() {
            var text = line
            let isPlain = text.withUTF8 { text in
                guard text.count <= self.maximumText, text.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                    return false
                }
                self.writeLine(text, isLast: index == last, of: reply, to: &output)
                return true
            }
            if !isPlain {
                let octets = self.harmless(line)
                octets.withUnsafeBufferPointer { self.writeLine($0, isLast: index == last, of: reply, to: &output) }
            }
        }
    }

    private static func writeLine(
        _ text: UnsafeBufferPointer<UInt8>,
        isLast: Bool,
        of reply: Reply,
        to output: inout ByteBuffer
    ) {
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: text.count + self.maximumFrame) { memory in
            var line = FixedText(memory.bindMemory(to: UInt8.self))
            line.write(reply.code)
            line.write(isLast ? " " : "-")
            if let enhanced = reply.enhanced {
                line.write(enhanced)
                line.write(" ")
            }
            line.write(text)
            line.write("\r\n")
            return line.count
        }
    }

    /// The text without control characters, and no more of it than fits a line.
    private static func harmless(_ line: String) -> [UInt8] {
        var octets: [UInt8] = []
        for scalar in line.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            let next = Array(String(isControl ? "?" : Character(scalar)).utf8)
            guard octets.count + next.count <= self.maximumText else {
                break
            }
            octets += next
        }
        return octets
    }
}
