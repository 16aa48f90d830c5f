import MessageFormat
import Testing

@Suite("Charsets")
struct CharsetTests {
    @Test("octets that mean nothing come to an end, whatever the C library makes of them")
    func ends() throws {
        let octets: [UInt8] = [36, 78, 40, 26, 39, 211, 66, 40, 157, 247, 49, 151, 66, 40, 155, 78]
        for label in ["iso-2022-jp", "iso-2022-jp-2", "iso-2022-kr", "euc-jp", "utf-16", "big5"] {
            let text = try #require(Charset.decode(octets, label: label))
            #expect(text.unicodeScalars.count <= 2 * octets.count)
        }
    }

    @Test("a bad octet in declared UTF-8 costs one character; undeclared, it makes the text Windows-1252")
    func badOctet() {
        let octets = Array("確認".utf8.dropLast()) + Array(" na\u{EF}ve".utf8)
        #expect(Charset.decode(octets, label: "UTF-8") == "確\u{FFFD} na\u{EF}ve")
        #expect(Charset.decode([0x6E, 0x61, 0xEF, 0x76, 0x65], label: "") == "na\u{EF}ve")
        #expect(Charset.decode([0x6E, 0x61, 0xEF, 0x76, 0x65], label: "us-ascii") == "na\u{EF}ve")
    }

    @Test("any octets come to an end in any charset", arguments: UInt64(1)...20)
    func endsForGarbage(_ seed: UInt64) {
        var state = seed
        let octets = (0..<2_000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let octet = UInt8(truncatingIfNeeded: state >> 40)
            // Often what switches between the parts of ISO 2022.
            return octet & 1 == 0 ? [0x1B, 0x24, 0x28, 0x42, 0x40, 0x0E, 0x0F, 0x9B][Int(octet >> 1) % 8] : octet
        }
        for label in ["iso-2022-jp", "iso-2022-jp-2", "iso-2022-kr", "shift_jis", "gb18030", "utf-16le"] {
            #expect(Charset.decode(octets, label: label) != nil)
        }
    }
}
