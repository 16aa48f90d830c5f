import MailModel

/// What was said in an AUTH exchange, so that a reply which quotes it can be kept; does not print itself.
///
/// Servers and filters quote what they do not understand: `500 Unrecognized command: AUTH PLAIN AGFw...`.
struct SentSecrets: Sendable, CustomStringConvertible, CustomReflectable {
    /// Octets in lower case: some servers quote a command in upper case.
    private var secret: [UInt8]
    private var responses: [[UInt8]] = []

    /// Octets of a piece of a response that are recognised by themselves, where a server quotes not all of it.
    private static let shortestPiece = 8
    /// Octets of a secret that are worth hiding; less would hide words of the reply.
    private static let shortestSecret = 4

    init(secret: String) {
        self.secret = secret.utf8.map(\.lowercased)
    }

    /// Remembers the response in a command that is about to go out; other commands hold none.
    mutating func note(_ command: ClientCommand) {
        switch command {
        case .auth(_, let response?), .authResponse(let response):
            if response.utf8.count >= Self.shortestSecret {
                self.responses.append(response.utf8.map(\.lowercased))
            }
        case .auth(_, nil), .ehlo, .helo, .startTLS, .mail, .recipient, .data, .reset, .quit: break
        }
    }

    /// The reply with `[hidden]` where it quotes the secret, a response, or a piece of one.
    func hidden(in reply: Reply) -> Reply {
        let lines = reply.lines.map(self.hidden)
        return lines == reply.lines ? reply : Reply(reply.code, reply.enhanced, lines: lines)
    }

    private func hidden(in line: String) -> String {
        let octets = Array(line.utf8)
        let lowercased = octets.map(\.lowercased)
        var spans = self.pieces(of: lowercased)
        for needle in [self.secret] + self.responses where needle.count >= Self.shortestSecret {
            spans += lowercased.occurrences(of: needle)
        }
        guard !spans.isEmpty else {
            return line
        }
        var output: [UInt8] = []
        var position = 0
        for span in spans.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if span.lowerBound >= position {
                output += octets[position..<span.lowerBound] + "[hidden]".utf8
            }
            position = max(position, span.upperBound)
        }
        return String(decoding: output + octets[position...], as: UTF8.self)
    }

    /// Runs of base64 octets that stand in a response.
    private func pieces(of line: [UInt8]) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        while start < line.count {
            let end = line[start...].firstIndex { !$0.isBase64 } ?? line.count
            if end - start >= Self.shortestPiece {
                let run = Array(line[start..<end])
                if self.responses.contains(where: { !$0.occurrences(of: run).isEmpty }) {
                    pieces.append(start..<end)
                }
            }
            start = end + 1
        }
        return pieces
    }

    var description: String {
        "what was said in AUTH"
    }

    var customMirror: Mirror {
        Mirror(self, children: [:])
    }
}

extension UInt8 {
    fileprivate var lowercased: UInt8 {
        (0x41...0x5A).contains(self) ? self + 0x20 : self
    }

    fileprivate var isBase64: Bool {
        switch self {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2F, 0x3D: true
        default: false
        }
    }
}

extension [UInt8] {
    fileprivate func occurrences(of needle: [UInt8]) -> [Range<Int>] {
        guard let first = needle.first, needle.count <= self.count else {
            return []
        }
        var found: [Range<Int>] = []
        var start = 0
        while let index = self[start...(self.count - needle.count)].firstIndex(of: first) {
            if self[index..<index + needle.count].elementsEqual(needle) {
                found.append(index..<index + needle.count)
                start = index + needle.count
            } else {
                start = index + 1
            }
            if start > self.count - needle.count {
                break
            }
        }
        return found
    }
}
