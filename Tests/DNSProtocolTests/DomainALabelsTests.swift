import DNSProtocol
import Testing

@Suite("Internationalised domains")
struct DomainALabelsTests {
    @Test(
        "U-labels become A-labels as UTS 46 and RFC 5891 say",
        arguments: [
            ("example.com", "example.com"), ("Example.COM", "Example.COM"),
            ("_dmarc.example.com", "_dmarc.example.com"),
            ("bücher.example", "xn--bcher-kva.example"), ("BÜCHER.example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"), ("飛脚.jp", "xn--w40al00c.jp"),
            ("飛脚。jp", "xn--w40al00c.jp"), ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"), ("straße.de", "xn--strae-oqa.de"),
            ("παράδειγμα.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp"),
        ]
    )
    func maps(_ domain: String, _ expected: String) {
        #expect(DomainALabels.ascii(domain) == expected)
    }

    @Test(
        "what cannot be a domain is not made into one",
        arguments: [
            "ü..example", ".ü.example", "\u{AD}.ü.example", "ü\u{0}.example", "ü example.com", "\u{378}.example",
            "\u{200D}ü.example", String(repeating: "ü", count: 64) + ".example",
            String(repeating: "ü.", count: 200) + "example",
            String(repeating: "ü", count: 2_000),
        ]
    )
    func refuses(_ domain: String) {
        #expect(DomainALabels.ascii(domain) == nil)
    }
}
