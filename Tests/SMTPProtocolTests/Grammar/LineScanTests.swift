import NIOCore
import TestKit
import Testing

@testable import SMTPProtocol

@Suite("Scanning content")
struct LineScanTests {
    /// Octets that decide something, and a few that do not; long runs of text between them reach every width of look.
    private static let octets: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x2E, 0, 0x09, 0x0B, 0x0D, 0x0E, 0x20, 0x41, 0x7F, 0x80, 0x8D, 0x8A, 0xFF,
    ]

    @Test("the first control character is found, and what stands before it seen, as octet by octet")
    func findsControls() {
        self.forRandomContent { content in
            content.withUnsafeBytes { octets in
                for start in [0, 1, 7, content.count / 2, content.count] where start <= content.count {
                    var seen: UInt64 = 0
                    let found = firstControl(in: octets, from: start, seen: &seen)
                    let expected = content[start...].firstIndex { $0 < 0x0E } ?? content.count
                    #expect(found == expected)
                    #expect((seen & 0x8080_8080_8080_8080 != 0) == content[start..<expected].contains { $0 > 127 })
                }
            }
        }
    }

    @Test("ordinary lines are passed over, and nothing else is")
    func passesOrdinaryLines() {
        self.forRandomContent { content in
            var isEightBit = false
            let found = content.withUnsafeBytes { endOfOrdinaryLines(in: $0, from: 0, isEightBit: &isEightBit) }
            let expected = Self.plainEnd(content)
            #expect(found == expected, "\(content)")
            #expect(isEightBit == content[..<expected].contains { $0 > 127 })
        }
    }

    @Test("content is read as octet by octet, however it is cut")
    func readsContent() {
        self.forRandomContent { content in
            let whole = content + Array("\r\n.\r\nQUIT\r\n".utf8)
            var (reader, kept, ended) = (ContentReader(), ByteBuffer(), false)
            var (slowReader, slowKept, slowEnded) = (ContentReader(), ByteBuffer(), false)
            var input = ByteBuffer(bytes: whole)
            ended = reader.readData(&input, into: &kept)
            for octet in whole where !slowEnded {
                var one = ByteBuffer(bytes: [octet])
                slowEnded = slowReader.readData(&one, into: &slowKept)
            }
            #expect(ended && slowEnded)
            #expect(reader.flaw == slowReader.flaw)
            // How much of flawed content was given out before its flaw is up to the cut.
            #expect(reader.flaw != nil || kept == slowKept)
            #expect(reader.headerLength == slowReader.headerLength)
            #expect(reader.isEightBit == slowReader.isEightBit)
            #expect(reader.size == slowReader.size)
        }
    }

    @Test("content is dot-stuffed as octet by octet")
    func stuffsContent() {
        self.forRandomContent { content in
            var (encoder, output) = (DotStuffingEncoder(), ByteBuffer())
            var (slowEncoder, slowOutput) = (DotStuffingEncoder(), ByteBuffer())
            encoder.write(ByteBuffer(bytes: content), to: &output)
            encoder.finish(to: &output)
            for octet in content {
                slowEncoder.write(ByteBuffer(bytes: [octet]), to: &slowOutput)
            }
            slowEncoder.finish(to: &slowOutput)
            #expect(output == slowOutput)
        }
    }

    private func forRandomContent(_ body: ([UInt8]) -> Void) {
        let seed = UInt64.random(in: .min ... .max)
        print("LineScanTests: seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            var content: [UInt8] = []
            for _ in 0..<Int.random(in: 0...8, using: &generator) {
                content += repeatElement(0x61, count: .random(in: 0...70, using: &generator))
                for _ in 0..<Int.random(in: 0...4, using: &generator) {
                    content.append(Self.octets.randomElement(using: &generator) ?? 0)
                }
            }
            body(content)
        }
    }

    /// The same by the words of its comment.
    private static func plainEnd(_ content: [UInt8]) -> Int {
        var index = 0
        while index < content.count {
            let isBreak = content[index...].starts(with: [0x0D, 0x0A]) && index + 2 < content.count
            if isBreak, content[index + 2] >= 0x0E, content[index + 2] != 0x2E {
                index += 2
            } else if [0x0D, 0x0A, 0].contains(content[index]) {
                return index
            } else {
                index += 1
            }
        }
        return index
    }
}
