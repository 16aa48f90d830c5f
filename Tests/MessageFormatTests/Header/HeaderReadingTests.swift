import MessageFormat
import Testing

@Suite struct HeaderReadingTests {
    @Test("unfolds a field and finds it without regard to case")
    func unfolds() throws {
        let section = HeaderSection(Array("Subject:\r\n one\r\n\ttwo \r\nX: y\n\nbody".utf8))
        #expect(section.fields.map(\.name) == ["Subject", "X"])
        #expect(section.first("SUBJECT")?.unfolded == "one two")
        #expect(section.length == 29)
    }

    @Test(
        "decodes encoded words (RFC 2047)",
        arguments: [
            ("=?utf-8?b?56K66KqN44Kz44O844OJ?=", "確認コード"),
            ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
            ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a?= b", "a b"),
            ("=?utf-8?b?56K6?=  =?utf-8?b?6KqN?=", "確認"),
            ("=?utf-8?b?56I=?= =?utf-8?b?uuiqjQ==?=", "確認"),
            ("=?iso-2022-jp?b?GyRCM05HJxsoQg==?=", "確認"),
            ("=?shift_jis?b?im2URg==?=", "確認"),
            ("=?x-unknown?q?a?=", "=?x-unknown?q?a?="),
            ("=?utf-8?z?a?= =?", "=?utf-8?z?a?= =?"),
            ("=?x-unknown?q?a?= =?x-unknown?q?b?= =?utf-8?q?c?=", "=?x-unknown?q?a?= =?x-unknown?q?b?= c"),
            ("a =?utf-8*en?q?b_c?= d", "a b c d"),
        ]
    )
    func decodes(encoded: String, text: String) {
        #expect(EncodedWord.decode(encoded) == text)
    }

    @Test(
        "encodes and decodes to the same text",
        arguments: ["確認コード", "plain", String(repeating: "日本", count: 60), "é\r\nBcc: x"]
    )
    func encodes(_ text: String) {
        let encoded = EncodedWord.encode(text)
        #expect(encoded.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F })
        #expect(
            EncodedWord.decode(encoded) == String(text.unicodeScalars.map { $0.value < 0x20 ? " " : Character($0) })
        )
    }

    @Test(
        "reads the mailboxes of an address field (RFC 5322 §3.4)",
        arguments: [
            ("a@b.test", ["|a@b.test"]),
            (
                "\"Yamada, Taro\" <taro@example.jp>, hanako@example.jp",
                ["Yamada, Taro|taro@example.jp", "|hanako@example.jp"]
            ),
            ("team: a@b.test, C <c@d.test>; , e@f.test", ["|a@b.test", "C|c@d.test", "|e@f.test"]),
            ("undisclosed-recipients:;", []),
            ("=?utf-8?b?5bGx55SwLCDlpKrpg44=?= <taro@example.jp>", ["山田, 太郎|taro@example.jp"]),
            ("a (comment (nested), with comma) @ b.test", ["|a@b.test"]),
            ("\"quoted, local\"@b.test", ["|\"quoted, local\"@b.test"]),
            ("<@relay.test:a@b.test>", ["|a@b.test"]),
            ("a@[IPv6:2001:db8::1]", ["|a@[IPv6:2001:db8::1]"]),
            ("no address, @b.test, a@, <>, \"open", []),
            ("Evil <a@b.test", ["Evil|a@b.test"]),
        ]
    )
    func readsAddresses(field: String, expected: [String]) {
        let found = AddressList(field).mailboxes.map { "\($0.displayName ?? "")|\($0.address)" }
        #expect(found == expected)
    }

    @Test(
        "reads parameters, continued and in other charsets (RFC 2231)",
        arguments: [
            ("attachment; filename=\"a;b.txt\"", "a;b.txt"),
            ("attachment; filename*=utf-8''%E8%AB%8B.pdf", "請.pdf"),
            ("attachment; filename*0*=utf-8'ja'%E8%AB; filename*1*=%8B; filename*2=.pdf", "請.pdf"),
            ("attachment; filename*1=b; filename*0=a", "ab"),
            ("attachment; filename=old.pdf; filename*=iso-8859-1''%E9.pdf", "é.pdf"),
            ("attachment; filename=\"=?utf-8?b?6KuL?=.pdf\"", "請.pdf"),
            ("attachment ; FILENAME = \"a\\\"b\" ; x", "a\"b"),
        ]
    )
    func readsParameters(field: String, filename: String) {
        let value = ParameterizedValue(parsing: field)
        #expect(value.value == "attachment")
        #expect(value.parameters["filename"] == filename)
    }

    @Test("reads a header full of words in an unknown charset in one pass")
    func readsUnknownWords() {
        let field = String(repeating: "=?x?q?a?= ", count: 25_000)
        #expect(EncodedWord.decode(field) == field)
    }

    @Test("round-trips base64 of every length", arguments: 0..<10)
    func base64(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: 250 + $0) }
        #expect(Base64.decode(ArraySlice(Base64.encode(bytes).utf8)) == bytes)
    }
}
