/// The parts of a message, found in one pass without recursion (RFC 2046 §5.1).
///
/// Parts stand in the order in which they begin; the first is the message itself. Nesting and number are bounded, since
/// a few kilobytes can hold a structure that costs others minutes.
package struct MIMETree: Sendable {
    package static let depthLimit = 100
    package static let partLimit = 1_000

    package let content: [UInt8]
    package private(set) var parts: [MIMEPart]

    /// Reads a whole content; throws when it passes a limit.
    package init(_ content: [UInt8]) throws(MIMEProblem) {
        let header = HeaderSection(content)
        guard header.isComplete else {
            throw MIMEProblem.headerTooLarge
        }
        self.content = content
        self.parts = [MIMEPart(header: header, body: header.length..<content.count, parent: nil)]
        try self.split()
    }

    /// The octets of a part's body without its transfer encoding (RFC 2045 §6).
    package func decodedBody(of part: MIMEPart) -> [UInt8] {
        let body = self.content[part.body]
        switch part.transferEncoding {
        case "base64": return Base64.decode(body)
        case "quoted-printable": return QuotedPrintable.decode(body)
        default: return Array(body)
        }
    }

    /// The text of a part in Unicode; nil when its charset is unknown.
    package func text(of part: MIMEPart) -> String? {
        Charset.decode(self.decodedBody(of: part), label: part.contentType.parameters["charset"] ?? "")
    }

    /// A multipart whose end has not been seen.
    private struct Open {
        let part: Int
        let boundary: [UInt8]
    }

    private mutating func split() throws(MIMEProblem) {
        var open = self.parts[0].boundary.map { [Open(part: 0, boundary: $0)] } ?? []
        guard !open.isEmpty else {
            return
        }
        var leaf: Int?
        var position = self.parts[0].body.lowerBound
        while position < self.content.count, !open.isEmpty {
            let end = self.content[position...].firstIndex(of: 0x0A).map { $0 + 1 } ?? self.content.count
            let line = position..<end
            position = end
            guard let (level, isClosing) = self.delimiter(line, open) else {
                continue
            }
            self.close(&leaf, before: line.lowerBound)
            for inner in open[(level + 1)...] {
                self.parts[inner.part].end(at: line.lowerBound)
            }
            open.removeSubrange((level + 1)...)
            if isClosing {
                self.parts[open[level].part].end(at: end)
                open.removeLast()
                continue
            }
            position = try self.begin(at: end, &open, &leaf)
        }
    }

    /// Adds the part that begins after a delimiter; returns where its body begins.
    private mutating func begin(at start: Int, _ open: inout [Open], _ leaf: inout Int?) throws(MIMEProblem) -> Int {
        guard self.parts.count < MIMETree.partLimit else {
            throw MIMEProblem.tooManyParts
        }
        let header = HeaderSection(self.content[start...])
        guard header.isComplete else {
            throw MIMEProblem.headerTooLarge
        }
        let body = start + header.length
        let index = self.parts.count
        let part = MIMEPart(header: header, body: body..<self.content.count, parent: open.last?.part)
        self.parts.append(part)
        if let boundary = part.boundary {
            guard open.count < MIMETree.depthLimit else {
                throw MIMEProblem.nestedTooDeep
            }
            open.append(Open(part: index, boundary: boundary))
        } else {
            leaf = index
        }
        return body
    }

    /// Ends the leaf at hand; the line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
    private mutating func close(_ leaf: inout Int?, before position: Int) {
        guard let index = leaf else {
            return
        }
        leaf = nil
        let start = self.parts[index].body.lowerBound
        var end = max(start, position)
        if end > start, self.content[end - 1] == 0x0A {
            end -= 1
        }
        if end > start, self.content[end - 1] == 0x0D {
            end -= 1
        }
        self.parts[index].end(at: end)
    }

    /// Which open multipart a line delimits, innermost first.
    private func delimiter(_ line: Range<Int>, _ open: [Open]) -> (level: Int, isClosing: Bool)? {
        let dash = UInt8(ascii: "-")
        guard line.count > 2, self.content[line.lowerBound] == dash, self.content[line.lowerBound + 1] == dash else {
            return nil
        }
        var text = self.content[(line.lowerBound + 2)..<line.upperBound]
        while let last = text.last, last == 0x0A || last == 0x0D || last == 0x20 || last == 0x09 {
            text.removeLast()
        }
        for level in open.indices.reversed() where text.starts(with: open[level].boundary) {
            let rest = text.dropFirst(open[level].boundary.count)
            if rest.isEmpty {
                return (level, false)
            }
            if rest.elementsEqual([dash, dash]) {
                return (level, true)
            }
        }
        return nil
    }
}

/// Why a content is not taken apart; SMTP can still carry it as it is.
package enum MIMEProblem: Error, Hashable, Sendable {
    case headerTooLarge
    case nestedTooDeep
    case tooManyParts
    /// Signed or encrypted content, which would not survive being taken apart (RFC 1847, RFC 8551, RFC 6376).
    case protected(String)
    /// Text in a charset that cannot be read here.
    case unknownCharset(String)
}
