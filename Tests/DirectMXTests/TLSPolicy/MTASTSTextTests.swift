import TestKit
import Testing

@testable import DirectMX

@Suite("What a domain says of MTA-STS")
struct MTASTSTextTests {
    struct Texts: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var texts: [String]
        var id: String?
    }

    @Test(
        "is one TXT record with an id, or nothing (RFC 8461 §3.1)",
        arguments: [
            Texts(testDescription: "usual", texts: ["v=STSv1; id=20160831085700Z;"], id: "20160831085700Z"),
            Texts(testDescription: "without the last semicolon", texts: ["v=STSv1;id=a1"], id: "a1"),
            Texts(testDescription: "spaces", texts: ["v=STSv1 ;\tid=a1 ; x=y"], id: "a1"),
            Texts(testDescription: "beside other records", texts: ["v=spf1 -all", "v=STSv1; id=a1"], id: "a1"),
            Texts(testDescription: "two of them", texts: ["v=STSv1; id=a1", "v=STSv1; id=a2"], id: nil),
            Texts(testDescription: "another version", texts: ["v=STSv10; id=a1"], id: nil),
            Texts(testDescription: "no id", texts: ["v=STSv1;"], id: nil),
            Texts(testDescription: "an empty id", texts: ["v=STSv1; id=;"], id: nil),
            Texts(testDescription: "an id with more than letters and digits", texts: ["v=STSv1; id=a-1"], id: nil),
            Texts(
                testDescription: "too long an id",
                texts: ["v=STSv1; id=" + String(repeating: "a", count: 33)],
                id: nil
            ),
            Texts(testDescription: "another case", texts: ["V=stsv1; id=a1"], id: nil),
            Texts(testDescription: "nothing", texts: [], id: nil),
            Texts(testDescription: "an empty text", texts: [""], id: nil),
        ]
    )
    func record(_ row: Texts) {
        #expect(MTASTSRecord(row.texts)?.id == row.id)
    }

    @Test("is a policy of lines, in any order (RFC 8461 §3.2)")
    func policy() throws {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: Mail.Example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"
        let policy = try #require(MTASTSPolicy(text))
        #expect(policy.mode == .enforce)
        #expect(policy.exchangers == ["mail.example.com", "*.example.net"])
        #expect(policy.maximumAge == 604_800)
        let bare = try #require(MTASTSPolicy("max_age:9999999999\nmode :none\nversion:STSv1\nlater: thing"))
        #expect(bare.mode == .none)
        #expect(bare.maximumAge == MTASTSPolicy.ageLimit)
        let twice = MTASTSPolicy("version: STSv1\nmode: testing\nmode: enforce\nmx: a.example\nmax_age: 1\nmax_age: 2")
        #expect(twice?.mode == .testing)
        #expect(twice?.maximumAge == 1)
    }

    @Test(
        "is no policy when it is not whole",
        arguments: [
            "", "version: STSv1", "version: STSv2\nmode: none\nmax_age: 1", "version: STSv1\nmode: maybe\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmax_age: 1", "version: STSv1\nmode: none\nmax_age: -1",
            "version: STSv1\nmode: none\nmax_age: 99999999999", "version: STSv1\nmode: none\nmax_age: 1x",
            "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a b", "version: STSv1\nmode: enforce\nmax_age: 1\nmx: *",
            "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a.*.b", "<html>not found</html>",
            "version: STSv1\nmode: enforce\nmax_age: 1\n" + String(repeating: "mx: a.example\n", count: 501),
        ]
    )
    func noPolicy(_ text: String) {
        #expect(MTASTSPolicy(text) == nil)
    }

    @Test(
        "names hosts, a star for one label and no more (RFC 8461 §4.1)",
        arguments: [
            ("mail.example.com", "mail.example.com", true), ("mail.example.com", "MAIL.example.COM.", true),
            ("mail.example.com", "mail2.example.com", false), ("*.example.com", "mx1.example.com", true),
            ("*.example.com", "a.mx1.example.com", false), ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false), ("example.com", "mx.example.com", false),
            ("*.example.com", "mx1.example.com.evil.test", false), ("*.example.com", "", false),
        ]
    )
    func names(_ pattern: String, _ host: String, _ isNamed: Bool) throws {
        let policy = try #require(MTASTSPolicy("version: STSv1\nmode: enforce\nmax_age: 1\nmx: \(pattern)"))
        #expect(policy.names(host) == isNamed)
    }
}
