import Delivery
import HTTPAPI
import HTTPTransport
import Logging
import MailModel
import TestKit
import Testing

/// Calls of services that send nothing.
struct ProbeTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let isMailgun: Bool
        let status: Int
        var body = ""
        let text: String
        var isFailure = false
    }

    static let rows = [
        Row(
            testDescription: "SendGrid, a key that may send",
            isMailgun: false,
            status: 200,
            body: #"{"scopes": ["alerts.read", "mail.send"]}"#,
            text: "the key has the scope mail.send"
        ),
        Row(
            testDescription: "SendGrid, a key that may not",
            isMailgun: false,
            status: 200,
            body: #"{"scopes": ["alerts.read"]}"#,
            text: "the key lacks the scope mail.send",
            isFailure: true
        ),
        Row(
            testDescription: "SendGrid, a wrong key",
            isMailgun: false,
            status: 401,
            text: "the key is not accepted (HTTP 401)",
            isFailure: true
        ),
        Row(
            testDescription: "SendGrid, something else",
            isMailgun: false,
            status: 200,
            body: "<html>",
            text: "GET /v3/scopes brought something else than scopes"
        ),
        Row(testDescription: "SendGrid, down", isMailgun: false, status: 503, text: "GET /v3/scopes brought HTTP 503"),
        Row(
            testDescription: "Mailgun, a good key",
            isMailgun: true,
            status: 200,
            text: "the key is accepted for mg.example.com"
        ),
        Row(
            testDescription: "Mailgun, another domain",
            isMailgun: true,
            status: 404,
            text: "the account has no domain mg.example.com (HTTP 404)",
            isFailure: true
        ),
        Row(
            testDescription: "Mailgun, a key for sending only looks like a wrong one",
            isMailgun: true,
            status: 401,
            text: "not accepted for reading the domain (HTTP 401): wrong, or for sending only"
        ),
    ]

    private func service(isMailgun: Bool) throws -> any HTTPMailService {
        guard isMailgun else {
            return try #require(SendGridService(.init(key: ScriptedAttempt.key)))
        }
        return try #require(MailgunService(.init(key: ScriptedAttempt.key, domain: "mg.example.com")))
    }

    private func probe(
        _ service: any HTTPMailService,
        _ answers: Result<HTTPResponse, HTTPFailure>...
    ) async -> (ProviderProbe?, [HTTPRequest]) {
        let client = ScriptedHTTPClient(answers)
        let provider = HTTPAPIProvider(
            name: "api",
            service: service,
            resolver: FixedResolver(),
            client: client,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            now: { ScriptedAttempt.now }
        )
        return (await provider.probe(until: .now + .seconds(5)), client.requests)
    }

    @Test("say whether the key is accepted", arguments: rows)
    func keys(_ row: Row) async throws {
        let headers: [(name: String, value: String)] = [("Date", "Tue, 24 Nov 2026 10:17:03 GMT")]
        let response = HTTPResponse(status: row.status, headers: headers, body: Array(row.body.utf8))
        let (found, requests) = await self.probe(try self.service(isMailgun: row.isMailgun), .success(response))
        let probe = try #require(found)
        #expect(probe.text == row.text)
        #expect((probe.failure != nil) == row.isFailure)
        #expect(probe.serverTime != nil)
        #expect(requests.map(\.method) == (row.isFailure ? [.get] : [.get, .get]), "the second one is for the quota")
        #expect(!"\(probe)".contains("secret-key"))
    }

    struct Quota: Sendable, CustomTestStringConvertible {
        let isMailgun: Bool
        let status: Int
        var body = ""
        let quota: ProviderQuota

        var testDescription: String { "\(self.isMailgun ? "Mailgun" : "SendGrid") \(self.status) \(self.body)" }
    }

    @Test(
        "tell what is left, where the service and the key allow it",
        arguments: [
            Quota(
                isMailgun: false,
                status: 200,
                body: #"{"remain": 150, "total": 200, "overage": 0, "used": 50, "last_reset": "2026-11-01", "#
                    + #""next_reset": "2026-12-01", "reset_frequency": "monthly"}"#,
                quota: .allowance(.init(remaining: 150, limit: 200, period: "monthly, until 2026-12-01"))
            ),
            Quota(
                isMailgun: false,
                status: 200,
                body: #"{"remain": 0, "total": 100, "overage": 12}"#,
                quota: .allowance(.init(remaining: 0, limit: 100, overage: 12, period: ""))
            ),
            Quota(isMailgun: false, status: 200, body: #"{"remain": null, "total": null}"#, quota: .unlimited),
            Quota(
                isMailgun: false,
                status: 200,
                body: #"{"remain": 1e300, "total": 3}"#,
                quota: .untold("GET /v3/user/credits brought numbers that are none")
            ),
            Quota(
                isMailgun: false,
                status: 200,
                body: "<html>",
                quota: .untold("GET /v3/user/credits brought something else than credits")
            ),
            Quota(isMailgun: false, status: 403, quota: .untold("the key may not read the credits (HTTP 403)")),
            Quota(isMailgun: false, status: 500, quota: .untold("GET /v3/user/credits brought HTTP 500")),
            Quota(
                isMailgun: true,
                status: 200,
                body: #"{"limit": 1000, "current": 990.0, "period": "1m"}"#,
                quota: .allowance(.init(remaining: 10, limit: 1_000, period: "this month"))
            ),
            Quota(
                isMailgun: true,
                status: 200,
                body: #"{"limit": 10, "current": 12}"#,
                quota: .allowance(.init(remaining: 0, limit: 10, period: "this month"))
            ),
            Quota(
                isMailgun: true,
                status: 200,
                body: #"{"limit": -1, "current": 0}"#,
                quota: .untold("GET /v5/accounts/limit/custom/monthly brought something else than a limit")
            ),
            Quota(
                isMailgun: true,
                status: 401,
                quota: .untold("the key may not read the account's limit (HTTP 401)")
            ),
            Quota(
                isMailgun: true,
                status: 404,
                quota: .untold("the account has no monthly limit of its own (HTTP 404)")
            ),
        ]
    )
    func quotas(_ row: Quota) async throws {
        let scopes = HTTPResponse(status: 200, headers: [], body: Array(#"{"scopes": ["mail.send"]}"#.utf8))
        let answer = HTTPResponse(status: row.status, headers: [], body: Array(row.body.utf8))
        let service = try self.service(isMailgun: row.isMailgun)
        let (found, requests) = await self.probe(service, .success(scopes), .success(answer))
        #expect(found?.quota == row.quota && found?.failure == nil)
        #expect(
            requests.last?.url.hasSuffix(row.isMailgun ? "/v5/accounts/limit/custom/monthly" : "/v3/user/credits")
                == true
        )
        #expect(requests.last?.headers.contains { $0.name == "Authorization" } == true)
        let lost = HTTPFailure(kind: .timeout, bodySent: false, description: "key SG.secret-key")
        let other = try #require(await self.probe(service, .success(scopes), .failure(lost)).0)
        guard case .untold(let why) = other.quota else {
            Issue.record("\(other)")
            return
        }
        #expect(other.failure == nil && !why.contains("secret-key"))
    }

    @Test("a call that fails is a failure of the way, without the key in it")
    func fails() async throws {
        let lost = HTTPFailure(kind: .tls, bodySent: false, description: "key SG.secret-key")
        let probe = try #require(await self.probe(try self.service(isMailgun: false), .failure(lost)).0)
        #expect(probe.failure?.reason == .tlsFailed)
        #expect(!probe.text.contains("secret-key"))
    }
}
