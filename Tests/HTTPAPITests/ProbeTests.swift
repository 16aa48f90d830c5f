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
        _ answer: Result<HTTPResponse, HTTPFailure>
    ) async -> (ProviderProbe?, [HTTPRequest]) {
        let client = ScriptedHTTPClient([answer])
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
        #expect(requests.map(\.method) == [.get])
        #expect(!"\(probe)".contains("secret-key"))
    }

    @Test("a call that fails is a failure of the way, without the key in it")
    func fails() async throws {
        let lost = HTTPFailure(kind: .tls, bodySent: false, description: "key SG.secret-key")
        let probe = try #require(await self.probe(try self.service(isMailgun: false), .failure(lost)).0)
        #expect(probe.failure?.reason == .tlsFailed)
        #expect(!probe.text.contains("secret-key"))
    }
}
