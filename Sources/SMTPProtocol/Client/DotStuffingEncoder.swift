package import struct NIOCore.ByteBuffer

/// Writes message content as it travels after `DATA`: lines that begin with a dot get another one (RFC 5321 §4.5.2).
///
/// Content comes in pieces of any size. A bare CR or LF would let the next hop see lines that we did not (SMTP smuggling),
/// so that both leave as CRLF.
package struct DotStuffingEncoder: Sendable {
    private enum Position {
        case lineStart, insideLine, afterCR
    }

    private var position = Position.lineStart

    package init() {}

    /// Appends a piece of content; all bytes of `piece` are consumed.
    package mutating func write(_ piece: ByteBuffer, to output: inout ByteBuffer) {
        output.reserveCapacity(minimumWritableBytes: piece.readableBytes + piece.readableBytes / 64 + 8)
        piece.withUnsafeReadableBytes { bytes in
            self.write(bytes, to: &output)
        }
    }

    /// Ends the last line if it is not ended, and appends the final dot.
    package mutating func finish(to output: inout ByteBuffer) {
        switch self.position {
        case .lineStart: output.writeStaticString(".\r\n")
        case .insideLine: output.writeStaticString("\r\n.\r\n")
        case .afterCR: output.writeStaticString("\n.\r\n")
        }
        self.position = .lineStart
    }

    /// Copies runs of lines as they are; only a dot at the start of a line and a bare line end break a run.
    private mutating func write(_ bytes: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
        var runStart = 0
        var index = 0
        let flush = { (output: inout ByteBuffer, end: Int) in
            if end > runStart {
                output.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[runStart..<end]))
            }
            runStart = end
        }
        while index < bytes.count {
            let octet = bytes[index]
            switch (self.position, octet) {
            case (.afterCR, 0x0A):
                self.position = .lineStart
                index += 1
            case (.afterCR, _):
                flush(&output, index)
                output.writeInteger(UInt8(0x0A))
                self.position = .lineStart
            case (.lineStart, 0x2E):
                flush(&output, index)
                output.writeInteger(UInt8(0x2E))
                self.position = .insideLine
                index += 1
            case (.lineStart, 0x0A), (.insideLine, 0x0A):
                flush(&output, index)
                output.writeStaticString("\r")
                self.position = .lineStart
                index += 1
            case (.lineStart, 0x0D), (.insideLine, 0x0D):
                self.position = .afterCR
                index += 1
            case (.lineStart, _), (.insideLine, _):
                self.position = .insideLine
                index = Self.textEnd(in: bytes, from: index + 1)
            }
        }
        flush(&output, bytes.count)
    }

    /// The index of the next CR or LF that is to be looked at: those between ordinary lines stay as they are.
    private static func textEnd(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var isEightBit = false
        var index = endOfOrdinaryLines(in: bytes, from: start, isEightBit: &isEightBit)
        while index < bytes.count, bytes[index] == 0 {
            index = endOfOrdinaryLines(in: bytes, from: index + 1, isEightBit: &isEightBit)
        }
        return index
    }
}
