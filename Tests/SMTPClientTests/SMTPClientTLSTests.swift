import Foundation
import MailModel
import SMTPClient
import SMTPProtocol
import TestKit
import Testing

struct SMTPClientTLSTests {
    private let fixture = ClientFixture()

    private func withTrustRoots(_ body: (String) async throws -> Void) async throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("authority-\(UUID().uuidString).pem")
        try Data(TestCertificates.authority.utf8).write(to: url)
        defer {
            try? FileManager.default.removeItem(at: url)
        }
        try await body(url.path)
    }

    private func script() -> FakeExchangerScript {
        var script = FakeExchangerScript()
        script.offersStartTLS = true
        script.mechanisms = ["PLAIN", "LOGIN"]
        return script
    }

    @Test("opportunistic TLS takes any certificate")
    func opportunistic() async throws {
        try await FakeExchanger.run(self.script()) { exchanger in
            let report = await self.fixture.deliver(over: self.fixture.hop(to: exchanger, tls: .opportunistic))
            #expect(report.results.areAccepted)
            #expect(report.tls == "TLSv1.3 unverified")
            #expect(!String(decoding: exchanger.record.clearText, as: UTF8.self).contains("MAIL"))
        }
    }

    @Test("opportunistic TLS goes on in clear text when STARTTLS is refused or its handshake fails")
    func fallsBack() async throws {
        var broken = self.script()
        broken.breaksHandshake = true
        var refused = self.script()
        refused.always[.startTLS] = .reply("454 4.7.0 not now")
        for script in [broken, refused] {
            try await FakeExchanger.run(script) { exchanger in
                let report = await self.fixture.deliver(over: self.fixture.hop(to: exchanger, tls: .opportunistic))
                #expect(report.results.areAccepted)
                #expect(report.tls == nil)
            }
        }
    }

    @Test("a verified hop logs in over TLS", arguments: [TLSPolicy.TLSStart.startTLS, .implicit])
    func verified(_ start: TLSPolicy.TLSStart) async throws {
        var script = self.script()
        script.isImplicitTLS = start == .implicit
        try await self.withTrustRoots { roots in
            try await FakeExchanger.run(script) { exchanger in
                var hop = self.fixture.hop(to: exchanger, tls: .required(start, .verified))
                hop.trustRootsFile = roots
                hop.credentials = SMTPCredentials(username: "u", password: "marked-password")
                let report = await self.fixture.deliver(over: hop)
                #expect(report.results.areAccepted, "\(report.results)")
                #expect(report.tls == "TLSv1.3 verified")
                #expect(report.mechanism == "PLAIN")
                #expect(exchanger.record.commands.contains { $0.hasPrefix("AUTH PLAIN ") })
                #expect(!String(decoding: exchanger.record.clearText, as: UTF8.self).contains("AUTH"))
                #expect(!"\(report) \(hop)".contains("marked-password"))
            }
        }
    }

    struct Attack: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var change: @Sendable (inout FakeExchangerScript) -> Void
        var host = "mx.example.test"
        var trusts = true
    }

    @Test(
        "with required TLS not one octet of AUTH or mail goes out in clear",
        arguments: [
            Attack(testDescription: "STARTTLS stripped", change: { $0.offersStartTLS = false }),
            Attack(testDescription: "STARTTLS refused", change: { $0.always[.startTLS] = .reply("454 4.7.0 no") }),
            Attack(testDescription: "handshake broken", change: { $0.breaksHandshake = true }),
            Attack(testDescription: "replies injected", change: { $0.injection = "250 AUTH PLAIN\r\n" }),
            Attack(testDescription: "half a line injected", change: { $0.injection = "250-x" }),
            Attack(testDescription: "unknown issuer", change: { _ in }, trusts: false),
            Attack(testDescription: "another name", change: { _ in }, host: "other.example.test"),
        ]
    )
    func attacks(_ attack: Attack) async throws {
        var script = self.script()
        script.offersAuthInClear = true
        attack.change(&script)
        try await self.withTrustRoots { roots in
            try await FakeExchanger.run(script) { exchanger in
                var hop = self.fixture.hop(to: exchanger, tls: .required(.startTLS, .verified))
                hop.host = attack.host
                hop.trustRootsFile = attack.trusts ? roots : nil
                hop.credentials = SMTPCredentials(username: "u", password: "p")
                let failure = await self.fixture.deliver(over: hop).results.first?.failure
                #expect(failure?.stage == .tls)
                #expect(failure?.mayHaveBeenAccepted == false)
                let words = exchanger.record.commands.map { $0.prefix(4) }
                #expect(!words.contains("AUTH") && !words.contains("MAIL"))
                #expect(self.fixture.commits.value == 0)
            }
        }
    }

    @Test("AUTH in clear text only where it is allowed by name")
    func clearTextLogin() async throws {
        var script = FakeExchangerScript()
        script.mechanisms = ["CRAM-MD5"]
        script.offersAuthInClear = true
        script.authReplies = ["334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", "235 2.7.0 ok"]
        try await FakeExchanger.run(script) { exchanger in
            var hop = self.fixture.hop(to: exchanger)
            hop.credentials = SMTPCredentials(username: "tim", password: "tanstaaftanstaaf")
            #expect(await self.fixture.deliver(over: hop).results.first?.failure?.stage == .auth)
            #expect(!exchanger.record.commands.contains { $0.hasPrefix("AUTH") })
            hop.allowsClearTextLogin = true
            #expect(await self.fixture.deliver(over: hop).results.areAccepted)
            // The vector of RFC 2195 §2.
            #expect(exchanger.record.commands.contains("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"))
        }
    }
}
