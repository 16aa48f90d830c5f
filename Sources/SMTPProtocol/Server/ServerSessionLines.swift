import MailModel

import struct NIOCore.ByteBuffer

/// Finding lines: only CRLF ends one, and what is no line of SMTP ends the session.
extension ServerSession {
    private enum LineEnd {
        /// The line without its CRLF has this many octets.
        case found(length: Int)
        case bare
        case missing
    }

    /// An overlong line is dropped up to here before the session is given up.
    private static let maximumSkip = 1_048_576

    mutating func nextLine(_ input: inout ByteBuffer) -> SessionAction? {
        guard input.readableBytes > 0 else {
            return nil
        }
        let (end, parsed) = input.withUnsafeReadableBytes { octets in
            self.examine(octets)
        }
        switch end {
        case .found(let length):
            input.moveReaderIndex(forwardBy: length + 2)
            return self.run(parsed)
        case .bare:
            input.clear()
            return self.close(.bareLineEndInCommand, .lineEnds)
        case .missing:
            if input.getInteger(at: input.readerIndex, as: UInt8.self) == 0x16 {
                // The first octet of a TLS record that carries a ClientHello.
                input.clear()
                return self.close(.tlsOnClearText, .tlsOnClearText)
            }
            guard input.readableBytes > input.withUnsafeReadableBytes({ self.lineLimit($0) }) else {
                return nil
            }
            return self.skipLine(&input, dropped: 0, self.overlongLineReply)
        }
    }

    /// Drops octets up to the next CRLF, then refuses the line as a whole.
    mutating func skipLine(_ input: inout ByteBuffer, dropped: Int, _ reply: Reply) -> SessionAction? {
        switch input.withUnsafeReadableBytes(Self.findEnd) {
        case .found(let length):
            input.moveReaderIndex(forwardBy: length + 2)
            return self.refuseOverlongLine(reply)
        case .bare:
            input.clear()
            return self.close(.bareLineEndInCommand, .lineEnds)
        case .missing:
            // A CR at the very end may be half of a CRLF.
            let octets = max(0, input.readableBytes - 1)
            input.moveReaderIndex(forwardBy: octets)
            guard dropped + octets <= Self.maximumSkip else {
                input.clear()
                return self.close(.lineTooLong, .lineTooLong)
            }
            self.phase = .skippingLine(dropped: dropped + octets, reply)
            return nil
        }
    }

    /// Octets that a line may have with its CRLF; AUTH lines may be longer than others.
    private func lineLimit(_ octets: UnsafeRawBufferPointer) -> Int {
        if case .authenticating = self.phase {
            return self.policy.limits.authenticationLine
        }
        var cursor = CommandCursor(octets)
        return cursor.skipWord("AUTH ") ? self.policy.limits.authenticationLine : self.policy.limits.commandLine
    }

    /// What an overlong line is answered in this phase; an exchange ends with it (RFC 4954 §4).
    private var overlongLineReply: Reply {
        if case .authenticating = self.phase {
            return .authenticationLineTooLong
        }
        return .lineTooLong
    }

    private mutating func refuseOverlongLine(_ reply: Reply) -> SessionAction {
        self.phase = .command
        return self.fail(reply)
    }

    private enum ParsedLine {
        case command(Command)
        case malformed(CommandSyntaxError)
        case exchange(String)
        case overlong
    }

    private func examine(_ octets: UnsafeRawBufferPointer) -> (LineEnd, ParsedLine) {
        if octets.first == 0x16 {
            return (.missing, .overlong)
        }
        let end = Self.findEnd(octets)
        guard case .found(let length) = end, length + 2 <= self.lineLimit(octets) else {
            return (end, .overlong)
        }
        let line = UnsafeRawBufferPointer(rebasing: octets[..<length])
        if case .authenticating = self.phase {
            return (end, .exchange(String(decoding: line, as: UTF8.self)))
        }
        do {
            return (end, .command(try Command(parsing: line)))
        } catch {
            return (end, .malformed(error))
        }
    }

    private mutating func run(_ line: ParsedLine) -> SessionAction? {
        switch line {
        case .command(let command):
            return self.receive(command)
        case .exchange(let text):
            return self.receiveExchange(text)
        case .malformed(let error):
            return self.receiveMalformed(error)
        case .overlong:
            return self.refuseOverlongLine(self.overlongLineReply)
        }
    }

    /// Finds the first CR or LF and judges it.
    private static func findEnd(_ octets: UnsafeRawBufferPointer) -> LineEnd {
        guard let index = octets.firstIndex(where: { $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\n") }) else {
            return .missing
        }
        guard octets[index] == UInt8(ascii: "\r") else {
            return .bare
        }
        guard index + 1 < octets.count else {
            return .missing
        }
        return octets[index + 1] == UInt8(ascii: "\n") ? .found(length: index) : .bare
    }
}
