package import MailModel

package import struct NIOCore.ByteBuffer

/// What our client says to a server (RFC 5321 §4.1.1).
package enum ClientCommand: Hashable, Sendable {
    case ehlo(String)
    case helo(String)
    case startTLS
    /// AUTH with its initial response in base64 (RFC 4954 §4).
    case auth(mechanism: String, initialResponse: String?)
    /// The answer to a 334 in base64; empty for an empty line.
    case authResponse(String)
    case mail(ReversePath, parameters: [String])
    case recipient(Mailbox, parameters: [String])
    case data
    case reset
    case quit

    /// Writes the command with its CRLF.
    ///
    /// Throws, with the buffer as it was, when an argument has a CR, LF or NUL (SMTP injection), a space or an angle bracket
    /// where the grammar ends the argument with it, or is over the line limit: one command is one line, always.
    package func write(to buffer: inout ByteBuffer) throws(CommandEncodingError) {
        let start = buffer.writerIndex
        self.writeLine(to: &buffer)
        let size = buffer.writerIndex - start
        // What is writable has no octet below 0x20.
        guard size <= Self.lineLimit, self.isWritable else {
            let isBroken = buffer.readableBytesView.suffix(size).contains { $0 == 0x0D || $0 == 0x0A || $0 == 0 }
            buffer.moveWriterIndex(to: start)
            throw isBroken ? .controlCharacter : size <= Self.lineLimit ? .badArgument : .tooLong
        }
        buffer.writeStaticString("\r\n")
    }

    /// Octets; RFC 4954 §4 demands 12,288 for AUTH, and addresses are far below.
    private static let lineLimit = 16_384

    /// Writes the command without its CRLF, piece by piece, since a string of it would be copied once more.
    private func writeLine(to buffer: inout ByteBuffer) {
        switch self {
        case .ehlo(let name): buffer.writeString("EHLO \(name)")
        case .helo(let name): buffer.writeString("HELO \(name)")
        case .startTLS: buffer.writeString("STARTTLS")
        case .auth(let mechanism, nil): buffer.writeString("AUTH \(mechanism)")
        // RFC 4954 §4: an empty initial response is written as "=".
        case .auth(let mechanism, let response?):
            buffer.writeString("AUTH \(mechanism) \(response.isEmpty ? "=" : response)")
        case .authResponse(let response): buffer.writeString(response)
        case .mail(let path, let parameters):
            buffer.writeString("MAIL FROM:<")
            buffer.write(path.mailbox, parameters: parameters)
        case .recipient(let mailbox, let parameters):
            buffer.writeString("RCPT TO:<")
            buffer.write(mailbox, parameters: parameters)
        case .data: buffer.writeString("DATA")
        case .reset: buffer.writeString("RSET")
        case .quit: buffer.writeString("QUIT")
        }
    }

    /// Whether no argument ends early or has a control character; what is not writable is never written.
    package var isWritable: Bool {
        switch self {
        case .ehlo(let word), .helo(let word):
            Self.isWord(word) && !word.isEmpty
        case .auth(let mechanism, let response):
            Self.isWord(mechanism) && Self.isWord(response ?? "")
        case .authResponse(let response):
            Self.isWord(response)
        case .mail(let path, let parameters):
            (path.mailbox.map(Self.isSafe) ?? true) && parameters.allSatisfy(Self.isWord)
        case .recipient(let mailbox, let parameters):
            Self.isSafe(mailbox) && parameters.allSatisfy(Self.isWord)
        case .startTLS, .data, .reset, .quit:
            true
        }
    }

    private static func isWord(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
    }

    /// A mailbox that cannot end its path early: spaces and angle brackets only inside a quoted local-part.
    private static func isSafe(_ mailbox: Mailbox) -> Bool {
        let isPlain = { (octet: UInt8) in octet > 0x20 && octet != 0x3C && octet != 0x3E && octet != 0x7F }
        let local = mailbox.localPart.utf8
        let isQuoted = local.count >= 2 && local.first == 0x22 && local.last == 0x22
        return (isQuoted ? local.allSatisfy { $0 >= 0x20 && $0 != 0x7F } : local.allSatisfy(isPlain))
            && mailbox.domain.text.utf8.allSatisfy(isPlain)
    }
}

/// Why a command was not written.
package enum CommandEncodingError: String, Error, Hashable, Sendable {
    case controlCharacter = "an argument has a line end or NUL"
    case badArgument = "an argument would end early"
    case tooLong = "a command line is too long"
}

extension ByteBuffer {
    /// Writes the end of a path that has begun, and its parameters; nil is the null path.
    fileprivate mutating func write(_ mailbox: Mailbox?, parameters: [String]) {
        if let mailbox {
            self.writeString(mailbox.localPart)
            self.writeString("@")
            self.writeString(mailbox.domain.text)
        }
        self.writeString(">")
        for parameter in parameters {
            self.writeString(" ")
            self.writeString(parameter)
        }
    }
}
