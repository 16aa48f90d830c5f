package import MailModel

package import struct NIOCore.ByteBuffer

/// Writes replies as they go over the wire (RFC 5321 §4.2, RFC 2034).
package enum ReplyWriter {
    /// Octets of text that go into one line: 512 with code, enhanced code and CRLF (RFC 5321 §4.5.3.1.5).
    private static let maximumText = 490

    /// Appends every line of the reply; control characters in the text become `?`, and an overlong line is cut.
    package static func write(_ reply: Reply, to output: inout ByteBuffer) {
        for (index, line) in reply.lines.enumerated() {
            self.writeNumber(reply.code, to: &output)
            output.writeInteger(index == reply.lines.count - 1 ? UInt8(ascii: " ") : UInt8(ascii: "-"))
            if let enhanced = reply.enhanced {
                self.writeNumber(UInt16(enhanced.statusClass), to: &output)
                output.writeInteger(UInt8(ascii: "."))
                self.writeNumber(enhanced.subject, to: &output)
                output.writeInteger(UInt8(ascii: "."))
                self.writeNumber(enhanced.detail, to: &output)
                output.writeInteger(UInt8(ascii: " "))
            }
            self.writeText(line, to: &output)
            output.writeInteger(0x0D0A as UInt16)
        }
    }

    private static func writeText(_ line: String, to output: inout ByteBuffer) {
        if line.utf8.count <= self.maximumText, line.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) {
            output.writeString(line)
            return
        }
        var count = 0
        for scalar in line.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            let octets = Array(String(isControl ? "?" : Character(scalar)).utf8)
            count += octets.count
            guard count <= self.maximumText else {
                return
            }
            output.writeBytes(octets)
        }
    }

    private static func writeNumber(_ number: UInt16, to output: inout ByteBuffer) {
        if number >= 100 {
            output.writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / 100 % 10))
        }
        if number >= 10 {
            output.writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / 10 % 10))
        }
        output.writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
    }
}
