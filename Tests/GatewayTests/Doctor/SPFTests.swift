import MailModel
import Testing

@testable import Gateway

@Suite("A sender policy (RFC 7208)")
struct SPFTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let zone: [String: [String]]
        let expected: SPFResult
        var address = "192.0.2.9"
        var unavailable: Set<String> = []
    }

    private static func simple(_ record: String) -> [String: [String]] {
        ["TXT app.test": [record]]
    }

    /// Ten policies, each of which includes the next.
    private static func chain(of count: Int) -> [String: [String]] {
        var zone: [String: [String]] = ["TXT app.test": ["v=spf1 include:1.test -all"]]
        for number in 1..<count {
            zone["TXT \(number).test"] = ["v=spf1 include:\(number + 1).test -all"]
        }
        zone["TXT \(count).test"] = ["v=spf1 ip4:192.0.2.0/24 -all"]
        return zone
    }

    static let rows = [
        Row(testDescription: "no record", zone: [:], expected: .none),
        Row(testDescription: "another record", zone: simple("v=spf10 +all"), expected: .none),
        Row(testDescription: "its network", zone: simple("v=spf1 ip4:192.0.2.0/28 -all"), expected: .pass),
        Row(testDescription: "another network", zone: simple("v=spf1 ip4:192.0.2.16/28 -all"), expected: .fail),
        Row(testDescription: "capitals", zone: simple("V=SPF1 IP4:192.0.2.9 -ALL"), expected: .pass),
        Row(testDescription: "softfail", zone: simple("v=spf1 ~all"), expected: .softfail),
        Row(testDescription: "neutral", zone: simple("v=spf1 ?all"), expected: .neutral),
        Row(testDescription: "no end", zone: simple("v=spf1 ip4:198.51.100.1"), expected: .neutral),
        Row(testDescription: "unknown modifier", zone: simple("v=spf1 exp=e.%{d} x-y=z +all"), expected: .pass),
        Row(
            testDescription: "IPv6",
            zone: simple("v=spf1 ip4:0.0.0.0/0 ip6:2001:db8::/32 -all"),
            expected: .pass,
            address: "2001:db8::7"
        ),
        Row(
            testDescription: "a with prefix",
            zone: ["TXT app.test": ["v=spf1 a:www.app.test/24 -all"], "A www.app.test": ["192.0.2.200"]],
            expected: .pass
        ),
        Row(
            testDescription: "a of the domain itself",
            zone: ["TXT app.test": ["v=spf1 a//64 -all"], "A app.test": ["2001:db8::1"]],
            expected: .pass,
            address: "2001:db8::2"
        ),
        Row(
            testDescription: "exchangers",
            zone: [
                "TXT app.test": ["v=spf1 mx -all"], "MX app.test": ["a.app.test", "b.app.test"],
                "A a.app.test": ["198.51.100.1"], "A b.app.test": ["192.0.2.9"],
            ],
            expected: .pass
        ),
        Row(
            testDescription: "a name that leads back",
            zone: [
                "TXT app.test": ["v=spf1 ptr -all"], "PTR 192.0.2.9": ["out.app.test"],
                "A out.app.test": ["192.0.2.9"],
            ],
            expected: .pass
        ),
        Row(
            testDescription: "a name that leads elsewhere",
            zone: [
                "TXT app.test": ["v=spf1 ptr -all"], "PTR 192.0.2.9": ["out.app.test"], "A out.app.test": ["192.0.2.1"],
            ],
            expected: .fail
        ),
        Row(
            testDescription: "exists with macros",
            zone: [
                "TXT app.test": ["v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all"],
                "A 9.2.0.192.in-addr._spf.app.test": ["127.0.0.2"],
            ],
            expected: .pass
        ),
        Row(testDescription: "an include that passes", zone: chain(of: 1), expected: .pass),
        Row(
            testDescription: "an include that fails is no match",
            zone: ["TXT app.test": ["v=spf1 include:b.test ?all"], "TXT b.test": ["v=spf1 -all"]],
            expected: .neutral
        ),
        Row(
            testDescription: "redirect",
            zone: ["TXT app.test": ["v=spf1 redirect=b.test"], "TXT b.test": ["v=spf1 ip4:192.0.2.9 -all"]],
            expected: .pass
        ),
        Row(testDescription: "ten lookups", zone: chain(of: 10), expected: .pass),
        Row(
            testDescription: "eleven lookups",
            zone: chain(of: 11),
            expected: .permanentError("needs more than 10 lookups")
        ),
        Row(
            testDescription: "a policy that includes itself",
            zone: simple("v=spf1 include:app.test -all"),
            expected: .permanentError("needs more than 10 lookups")
        ),
        Row(
            testDescription: "three lookups in vain",
            zone: simple("v=spf1 a:a.test a:b.test a:c.test -all"),
            expected: .permanentError("more than 2 lookups find nothing")
        ),
        Row(
            testDescription: "an include without policy",
            zone: simple("v=spf1 include:nowhere.test -all"),
            expected: .permanentError("includes nowhere.test, which has no policy")
        ),
        Row(
            testDescription: "two policies",
            zone: ["TXT app.test": ["v=spf1 -all", "v=spf1 +all"]],
            expected: .permanentError("app.test has 2 policies")
        ),
        Row(
            testDescription: "a mistake",
            zone: simple("v=spf1 ipv4:192.0.2.9 -all"),
            expected: .permanentError("app.test: \"ipv4:192.0.2.9\" is not understood")
        ),
        Row(
            testDescription: "DNS that does not answer",
            zone: simple("v=spf1 a:slow.test -all"),
            expected: .temporaryError("nobody answers"),
            unavailable: ["A slow.test"]
        ),
    ]

    @Test("is judged as receivers judge it", arguments: rows)
    func judges(_ row: Row) async throws {
        let lookups = ScriptedLookups(row.zone, unavailable: row.unavailable)
        let address = try #require(IPAddress(row.address))
        var spf = SPFEvaluator(address: address, sender: "app.test", heloName: "gw.app.test", lookups: lookups)
        #expect(await spf.evaluate("app.test") == row.expected)
        #expect(lookups.questions.count <= 30)
    }

    @Test(
        "terms that are none are refused",
        arguments: [
            "all:x", "include", "include:", "a:", "a/33", "a/", "a//129", "a/24/64", "mx/x", "ip4:192.0.2.300",
            "ip4:2001:db8::1", "ip6:192.0.2.1", "exists", "ptr:", "+-all", "foo",
        ]
    )
    func refuses(_ term: String) {
        #expect(throws: SPFRecord.SyntaxError.self) { try SPFRecord("v=spf1 \(term)") }
    }

    @Test(
        "macros are filled in (RFC 7208 §7.4)",
        arguments: [
            ("%{s}", "postmaster@email.example.com"), ("%{o}", "email.example.com"), ("%{d4}", "email.example.com"),
            ("%{d1}", "com"), ("%{dr}", "com.example.email"), ("%{d2r}", "example.email"), ("%{ir}.x", "3.2.0.192.x"),
            ("%{v}", "in-addr"), ("%{l-}", "postmaster"), ("%%%_%-", "% %20"), ("%{x}", nil), ("%{d0}", nil),
            ("%{d", nil), ("%", nil), ("%q", nil),
        ] as [(String, String?)]
    )
    func expands(_ text: String, _ expected: String?) {
        let macro = SPFMacro(
            address: .v4(0xC000_0203),
            localPart: "postmaster",
            senderDomain: "email.example.com",
            heloName: "h"
        )
        #expect(macro.expand(text, domain: "email.example.com") == expected)
    }

    @Test("no octets trap")
    func survives() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("v=spf1 %{}/:.+-~?adimx0129\u{0}é")
        for _ in 0..<2_000 {
            let text = String(
                (0..<Int.random(in: 0..<60)).compactMap { _ in alphabet.randomElement(using: &generator) }
            )
            _ = try? SPFRecord("v=spf1 \(text)")
            _ = SPFMacro(address: .v4(1), localPart: "", senderDomain: text, heloName: "").expand(text, domain: text)
            _ = DMARCPolicy.Record(text)
            _ = DKIMKey(text)
            _ = DMARCPolicy.walk(text)
        }
    }
}
