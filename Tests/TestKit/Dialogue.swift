import MailModel
package import SMTPProtocol

import class Foundation.Bundle
import struct Foundation.Data
package import struct NIOCore.ByteBuffer

/// A scripted session: lines `C: ...` (sent with CRLF), `S: ...` (exact), `S~ ...` (prefix), `#` for why.
///
/// In `C:` lines `\r`, `\n`, `\0` and `\\` stand for the octets, and a line that ends in `\c` gets no CRLF.
package struct Dialogue: Sendable {
    package enum Line: Hashable, Sendable {
        case client([UInt8])
        case server(String)
        case serverPrefix(String)
        case closed
    }

    package let name: String
    package let lines: [Line]

    package init(name: String, text: String) {
        self.name = name
        self.lines = text.split(separator: "\n").compactMap { line in
            switch line.prefix(2) {
            case "C:": .client(Self.octets(line.dropFirst(3)))
            case "S:": .server(String(line.dropFirst(3)))
            case "S~": .serverPrefix(String(line.dropFirst(3)))
            case "S!": .closed
            default: nil
            }
        }
    }

    /// Reads a fixture of `Fixtures/Dialogues`.
    package init(fixture name: String) throws {
        let folder = Bundle.module.bundleURL.appendingPathComponent("Fixtures/Dialogues")
        let file = folder.appendingPathComponent("\(name).dialogue")
        self.init(name: name, text: String(decoding: try Data(contentsOf: file), as: UTF8.self))
    }

    private static func octets(_ text: Substring) -> [UInt8] {
        var octets: [UInt8] = []
        var isEscaped = false
        var endsLine = true
        for octet in text.utf8 {
            guard isEscaped else {
                isEscaped = octet == UInt8(ascii: "\\")
                if !isEscaped {
                    octets.append(octet)
                }
                continue
            }
            isEscaped = false
            switch octet {
            case UInt8(ascii: "r"): octets.append(13)
            case UInt8(ascii: "n"): octets.append(10)
            case UInt8(ascii: "0"): octets.append(0)
            case UInt8(ascii: "c"): endsLine = false
            default: octets.append(octet)
            }
        }
        return octets + (endsLine ? [13, 10] : [])
    }
}

/// Whatever can answer a dialogue: the pure session, or a server behind a socket.
package protocol DialoguePeer {
    mutating func send(_ octets: [UInt8]) async throws
    /// The next line without CRLF; nil once the server has closed.
    mutating func line() async throws -> String?
}

extension Dialogue {
    /// Plays the script and returns the first difference, or nil if there is none.
    package func play(against peer: inout some DialoguePeer) async throws -> String? {
        for (index, line) in self.lines.enumerated() {
            switch line {
            case .client(let octets):
                try await peer.send(octets)
            case .server(let expected):
                let found = try await peer.line()
                if found != expected {
                    return "\(self.name), line \(index): expected \(expected), found \(found ?? "end of connection")"
                }
            case .serverPrefix(let expected):
                let found = try await peer.line()
                if found?.hasPrefix(expected) != true {
                    return "\(self.name), line \(index): expected \(expected)..., found \(found ?? "end of connection")"
                }
            case .closed:
                if let found = try await peer.line() {
                    return "\(self.name), line \(index): expected the end, found \(found)"
                }
            }
        }
        return nil
    }
}

/// Plays the owner of a pure session: takes every message, and knows one user, `app` with password `secret`.
package struct SessionPeer: DialoguePeer {
    package var session: ServerSession
    /// Content of the messages taken so far.
    package private(set) var messages: [ByteBuffer] = []
    package private(set) var actions: [SessionAction] = []
    private var input = ByteBuffer()
    private var content = ByteBuffer()
    private var output = ByteBuffer()
    private var isClosed = false

    package init(_ session: ServerSession) {
        self.session = session
        ReplyWriter.write(session.greeting, to: &self.output)
    }

    package mutating func send(_ octets: [UInt8]) {
        guard !self.isClosed else {
            return
        }
        self.input.writeBytes(octets)
        while !self.isClosed, let action = self.session.next(&self.input, content: &self.content) {
            self.run(action)
        }
    }

    package mutating func line() -> String? {
        guard let end = self.output.readableBytesView.firstIndex(of: 10),
            let line = self.output.readString(length: end + 1 - self.output.readerIndex)
        else {
            return nil
        }
        return String(line.dropLast())
    }

    private mutating func run(_ action: SessionAction) {
        self.actions.append(action)
        switch action {
        case .send(let reply), .sendDelayed(let reply), .refuse(let reply, _):
            ReplyWriter.write(reply, to: &self.output)
        case .startTLS(let reply):
            ReplyWriter.write(reply, to: &self.output)
            self.input.clear()
            self.session.tlsDidStart()
        case .authenticate(let credentials):
            let isRight = credentials.user == "app" && credentials.password == "secret"
            self.run(self.session.authenticationFinished(success: isRight))
        case .beginContent(_, let reply):
            self.content = ByteBuffer()
            if let reply {
                ReplyWriter.write(reply, to: &self.output)
            }
        case .submit:
            self.messages.append(self.content)
            self.run(
                self.session.submissionFinished(Reply(250, EnhancedStatusCode(2, 0, 0), lines: ["Ok: queued as ID"]))
            )
        case .dropContent(let reply):
            self.content = ByteBuffer()
            ReplyWriter.write(reply, to: &self.output)
        case .close(let reply, _):
            ReplyWriter.write(reply, to: &self.output)
            self.isClosed = true
        }
    }
}
