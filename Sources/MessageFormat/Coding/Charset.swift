#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Character sets by their MIME names, read into Unicode.
///
/// UTF-8, ASCII and the Western sets are read here; the others by the C library's iconv, which is a computation.
package enum Charset {
    /// Decodes octets of a declared charset; nil when the charset is unknown.
    ///
    /// Octets that mean nothing in their charset become U+FFFD.
    package static func decode(_ bytes: [UInt8], label: String) -> String? {
        switch label.lowercased() {
        case "utf-8", "utf8":
            // One bad octet, as where a text was cut within a character, costs one character.
            String(decoding: bytes, as: UTF8.self)
        case "", "us-ascii", "ascii":
            decodeUndeclared(bytes[...])
        case "iso-8859-1", "latin1", "windows-1252", "cp1252":
            decodeWestern(bytes[...])
        case let label where convertible.contains(label):
            convert(bytes, from: label)
        default:
            nil
        }
    }

    /// Decodes octets that should be ASCII or UTF-8, and are read as Windows-1252 when they are not.
    package static func decodeUndeclared(_ bytes: ArraySlice<UInt8>) -> String {
        guard bytes.allSatisfy({ $0 < 0x80 }) else {
            return String(validating: bytes, as: UTF8.self) ?? decodeWestern(bytes)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Windows-1252, of which ISO 8859-1 as it is used in mail is a part.
    private static func decodeWestern(_ bytes: ArraySlice<UInt8>) -> String {
        var scalars = String.UnicodeScalarView()
        for byte in bytes {
            let value = (0x80...0x9F).contains(byte) ? windows1252[Int(byte) - 0x80] : UInt16(byte)
            scalars.append(Unicode.Scalar(value) ?? "\u{FFFD}")
        }
        return String(scalars)
    }

    /// Names that may reach iconv: a closed list, since a message chooses the name.
    private static let convertible: Set<String> = [
        "iso-2022-jp", "iso-2022-jp-1", "iso-2022-jp-2", "shift_jis", "shift-jis", "sjis", "cp932", "windows-31j",
        "euc-jp", "iso-2022-kr", "euc-kr", "cp949", "gb2312", "gbk", "gb18030", "big5", "koi8-r", "koi8-u",
        "iso-8859-2", "iso-8859-3", "iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8",
        "iso-8859-9", "iso-8859-10", "iso-8859-13", "iso-8859-14", "iso-8859-15", "iso-8859-16", "windows-1250",
        "windows-1251", "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257",
        "windows-1258", "utf-16", "utf-16le", "utf-16be",
    ]

    /// Names of a charset that says less than its writers use: Windows has characters that plain JIS lacks (①, ㈱).
    private static let aliases = [
        "shift_jis": "CP932", "shift-jis": "CP932", "sjis": "CP932", "windows-31j": "CP932", "euc-kr": "CP949",
        "gb2312": "GB18030", "gbk": "GB18030",
    ]

    private static func convert(_ bytes: [UInt8], from label: String) -> String? {
        guard let converter = iconv_open("UTF-8", aliases[label] ?? label.uppercased()),
            Int(bitPattern: converter) != -1
        else {
            return nil
        }
        defer { iconv_close(converter) }
        var result: [UInt8] = []
        var input = bytes.map { CChar(bitPattern: $0) }
        var offset = 0
        var output = [CChar](repeating: 0, count: 4_096)
        while offset < input.count {
            let (consumed, produced, stuck) = step(converter, &input, from: offset, &output)
            result += output[..<produced].map { UInt8(bitPattern: $0) }
            offset += consumed
            if stuck {
                result += Array("\u{FFFD}".utf8)
                offset += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Converts as much as fits the output; `stuck` when no octet was read.
    private static func step(
        _ converter: iconv_t,
        _ input: inout [CChar],
        from offset: Int,
        _ output: inout [CChar]
    ) -> (consumed: Int, produced: Int, stuck: Bool) {
        var inputLeft = input.count - offset
        var outputLeft = output.count
        let available = (inputLeft, outputLeft)
        _ = input.withUnsafeMutableBufferPointer { source in
            output.withUnsafeMutableBufferPointer { target in
                var from = source.baseAddress.map { $0 + offset }
                var to = target.baseAddress
                return iconv(converter, &from, &inputLeft, &to, &outputLeft)
            }
        }
        let (consumed, produced) = (available.0 - inputLeft, available.1 - outputLeft)
        // Whatever iconv calls it: glibc's ISO-2022-JP can write a character without reading on, again and again. An octet
        // is skipped then, so that the loop always ends.
        return (consumed, produced, stuck: consumed == 0)
    }
}

private let windows1252: [UInt16] = [
    0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D, 0x017D,
    0x8F, 0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,
    0x017E, 0x0178,
]
