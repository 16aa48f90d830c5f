package import MailModel

package import struct NIOCore.ByteBuffer

/// Reads replies from the bytes that a server sends, however they are cut (RFC 5321 §4.2).
///
/// The line end may be a bare LF, as some servers write it: in replies nothing can be smuggled with it. Lines and their
/// number are bounded, so that a server cannot fill our memory.
package struct ReplyParser: Sendable {
    /// Octets of a line without its end; RFC 5321 §4.5.3.1.5 says 512, servers write more.
    package static let lineLimit = 4096
    /// Lines of one reply.
    package static let maximumLines = 100
    /// Octets of one reply, without its line ends.
    package static let replyLimit = 32_768

    private var code: UInt16?
    private var enhanced: EnhancedStatusCode?
    private var lines: [String] = []
    private var octets = 0
    /// Octets at the front of the buffer that are known to hold no LF.
    private var scanned = 0

    package init() {}

    /// Whether part of a reply has been read and its end has not.
    package var isInsideReply: Bool {
        self.code != nil
    }

    /// Takes the next complete reply off the buffer; nil when more bytes are needed.
    ///
    /// After an error the connection is of no more use.
    package mutating func next(from buffer: inout ByteBuffer) throws(ReplySyntaxError) -> Reply? {
        while let line = try self.nextLine(from: &buffer) {
            if let reply = try self.receive(line: line) {
                return reply
            }
        }
        return nil
    }

    private mutating func nextLine(from buffer: inout ByteBuffer) throws(ReplySyntaxError) -> [UInt8]? {
        let view = buffer.readableBytesView
        guard let end = view.dropFirst(self.scanned).firstIndex(of: 0x0A) else {
            self.scanned = view.count
            // One more for the CR of a line whose LF has not come yet.
            guard view.count <= Self.lineLimit + 1 else {
                throw .lineTooLong
            }
            return nil
        }
        let length = end - view.startIndex
        guard length <= Self.lineLimit + 1 else {
            throw .lineTooLong
        }
        self.scanned = 0
        var line = buffer.readBytes(length: length) ?? []
        buffer.moveReaderIndex(forwardBy: 1)
        if line.last == 0x0D {
            line.removeLast()
        }
        return line
    }

    private mutating func receive(line: [UInt8]) throws(ReplySyntaxError) -> Reply? {
        guard line.count >= 3, line[..<3].allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw .notAReply
        }
        let code = line[..<3].reduce(UInt16(0)) { $0 * 10 + UInt16($1 - 0x30) }
        guard (200..<600).contains(code), self.code == nil || self.code == code else {
            throw .notAReply
        }
        let separator = line.count > 3 ? line[3] : 0x20
        guard separator == 0x20 || separator == 0x2D else {
            throw .notAReply
        }
        guard self.lines.count < Self.maximumLines else {
            throw .tooManyLines
        }
        self.octets += line.count
        guard self.octets <= Self.replyLimit else {
            throw .replyTooLong
        }
        self.append(text: line.dropFirst(4), of: code)
        guard separator == 0x20 else {
            return nil
        }
        defer {
            self = ReplyParser()
        }
        return Reply(code, self.enhanced, lines: self.lines)
    }

    private mutating func append(text: ArraySlice<UInt8>, of code: UInt16) {
        var rest = text
        // RFC 2034 §4: every line begins with the same code, in front of the text.
        let word = text.prefix(10).prefix { $0 != 0x20 }
        if word.count >= 5, word.count <= 9, let status = EnhancedStatusCode(octets: word),
            UInt16(status.statusClass) == code / 100, self.code == nil || self.enhanced == status
        {
            self.enhanced = status
            rest = text.dropFirst(word.count + 1)
        }
        self.code = code
        let isPlain = rest.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
        let shown = isPlain ? rest : rest.map { $0 < 0x20 || $0 == 0x7F ? 0x3F : $0 }[...]
        self.lines.append(String(decoding: shown, as: UTF8.self))
    }
}

/// Why bytes from a server are no reply.
package enum ReplySyntaxError: String, Error, Hashable, Sendable {
    case notAReply = "not an SMTP reply"
    case lineTooLong = "a reply line without end"
    case tooManyLines = "a reply of too many lines"
    case replyTooLong = "a reply of too many octets"
}
