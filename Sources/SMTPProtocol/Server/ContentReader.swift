package import struct NIOCore.ByteBuffer

/// Reads the content of one message off the wire, by DATA or by BDAT, and looks at every octet once.
///
/// Only CRLF ends a line and only CRLF.CRLF ends DATA (RFC 5321 §2.3.8, §4.1.1.4). A bare CR, a bare LF or a NUL is a
/// flaw: the content is then read to its true end but no longer given out, and the session refuses it as a whole, so
/// that nothing inside it can pass for an end of content somewhere else (SMTP smuggling).
package struct ContentReader: Sendable {
    package enum Flaw: Hashable, Sendable {
        case bareCarriageReturn
        case bareLineFeed
        case nul
    }

    private enum Position {
        case lineStart
        case text
        case carriageReturn
        /// A CR at the start of a line: with LF it is the empty line that ends the header section.
        case emptyLineReturn
        /// A dot at the start of a line of DATA, which is never part of the content.
        case dot
        case dotReturn
    }

    private var position = Position.lineStart
    /// Octets of content so far, without the dots of dot-stuffing, whether they were given out or not.
    package private(set) var size = 0
    /// The first flaw that was met.
    package private(set) var flaw: Flaw?
    /// Whether an octet over 127 was met.
    package private(set) var isEightBit = false
    /// Octets up to and including the empty line; nil as long as none was met.
    package private(set) var headerLength: Int?
    /// Whether octets are still given out: not after a flaw, nor after `discard()`.
    package private(set) var isKeeping = true

    package init() {}

    /// From now on only looks for the end of the content.
    package mutating func discard() {
        self.isKeeping = false
    }

    /// Reads dot-stuffed content and appends it to `output`; true once the final dot has been read.
    ///
    /// Octets behind the final dot stay in `input`.
    package mutating func readData(_ input: inout ByteBuffer, into output: inout ByteBuffer) -> Bool {
        let (consumed, ended) = input.withUnsafeReadableBytes { octets in
            self.scan(octets, isStuffed: true, into: &output)
        }
        input.moveReaderIndex(forwardBy: consumed)
        return ended
    }

    /// Reads at most `limit` octets of a BDAT chunk as they are and returns how many there were (RFC 3030 §2).
    package mutating func readChunk(_ input: inout ByteBuffer, limit: Int, into output: inout ByteBuffer) -> Int {
        let consumed = input.withUnsafeReadableBytes { octets in
            let part = UnsafeRawBufferPointer(rebasing: octets.prefix(max(0, limit)))
            return self.scan(part, isStuffed: false, into: &output).consumed
        }
        input.moveReaderIndex(forwardBy: consumed)
        return consumed
    }

    /// Call after the last chunk: a CR as the very last octet is a bare one.
    package mutating func finishChunks() {
        switch self.position {
        case .carriageReturn, .emptyLineReturn, .dotReturn:
            self.note(.bareCarriageReturn)
        case .lineStart, .text, .dot:
            break
        }
    }

    private mutating func scan(
        _ octets: UnsafeRawBufferPointer,
        isStuffed: Bool,
        into output: inout ByteBuffer
    ) -> (consumed: Int, ended: Bool) {
        var index = 0
        var runStart = 0
        while index < octets.count {
            let octet = octets[index]
            switch self.position {
            case .text:
                index = self.passText(octets, from: index)
            case .lineStart where octet == dot && isStuffed:
                self.give(octets[runStart..<index], to: &output)
                index += 1
                runStart = index
                self.position = .dot
            case .lineStart where octet == carriageReturn:
                index += 1
                self.position = .emptyLineReturn
            case .carriageReturn where octet == lineFeed:
                index += 1
                self.position = .lineStart
            case .emptyLineReturn where octet == lineFeed:
                index += 1
                self.headerLength = self.headerLength ?? self.size + index - runStart
                self.position = .lineStart
            case .dot where octet == carriageReturn:
                index += 1
                runStart = index
                self.position = .dotReturn
            case .dotReturn where octet == lineFeed:
                return (index + 1, true)
            case .carriageReturn, .emptyLineReturn, .dotReturn:
                self.note(.bareCarriageReturn)
                self.position = .text
            case .lineStart, .dot:
                self.position = .text
            }
        }
        self.give(octets[runStart..<index], to: &output)
        return (index, false)
    }

    /// Goes on behind the next CR, LF or NUL that ordinary lines do not have, or to the end; `position` says which.
    private mutating func passText(_ octets: UnsafeRawBufferPointer, from start: Int) -> Int {
        let index = endOfOrdinaryLines(in: octets, from: start, isEightBit: &self.isEightBit)
        guard index < octets.count else {
            return index
        }
        switch octets[index] {
        case carriageReturn:
            self.position = .carriageReturn
        case lineFeed:
            self.note(.bareLineFeed)
        default:
            self.note(.nul)
        }
        return index + 1
    }

    private mutating func give(_ run: Slice<UnsafeRawBufferPointer>, to output: inout ByteBuffer) {
        guard !run.isEmpty else {
            return
        }
        self.size += run.count
        if self.isKeeping {
            output.writeBytes(UnsafeRawBufferPointer(rebasing: run))
        }
    }

    private mutating func note(_ flaw: Flaw) {
        self.flaw = self.flaw ?? flaw
        self.isKeeping = false
    }
}

private let carriageReturn = UInt8(ascii: "\r")
private let lineFeed = UInt8(ascii: "\n")
private let dot = UInt8(ascii: ".")
