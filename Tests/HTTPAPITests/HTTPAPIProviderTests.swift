import DNSProtocol
import Delivery
import HTTPAPI
import HTTPTransport
import MailModel
import TestKit
import Testing

@Suite struct HTTPAPIProviderTests {
    private func service() throws -> SendGridService {
        try #require(SendGridService(.init(key: ScriptedAttempt.key)))
    }

    /// How a call ended without a response, and what that means.
    struct TransportRow: Sendable {
        var kind: HTTPFailure.Kind
        var bodySent = false
        var persistence = Failure.Persistence.transient
        var scope = Failure.Scope.provider
        var stage: Failure.Stage
        var reason: Failure.Reason
    }

    @Test(
        "tells a call that may have been acted on from one that was not",
        arguments: [
            TransportRow(kind: .resolve, stage: .resolve, reason: .dnsUnavailable),
            TransportRow(kind: .connect, stage: .connect, reason: .connectionFailed),
            TransportRow(kind: .tls, stage: .tls, reason: .tlsFailed),
            TransportRow(kind: .send, stage: .data, reason: .connectionLost),
            TransportRow(kind: .timeout, stage: .data, reason: .timeout),
            TransportRow(kind: .prohibited, stage: .connect, reason: .prohibitedAddress),
            TransportRow(kind: .invalidRequest, persistence: .permanent, stage: .connect, reason: .misconfigured),
            TransportRow(kind: .unreadable, scope: .local, stage: .data, reason: .localTrouble),
            TransportRow(kind: .cancelled, scope: .local, stage: .connect, reason: .interrupted),
            TransportRow(kind: .timeout, bodySent: true, persistence: .ambiguous, stage: .commit, reason: .noAnswer),
            TransportRow(
                kind: .connectionLost,
                bodySent: true,
                persistence: .ambiguous,
                stage: .commit,
                reason: .noAnswer
            ),
            TransportRow(
                kind: .responseTooLarge,
                bodySent: true,
                persistence: .ambiguous,
                stage: .commit,
                reason: .noAnswer
            ),
            TransportRow(
                kind: .cancelled,
                bodySent: true,
                persistence: .ambiguous,
                stage: .commit,
                reason: .interrupted
            ),
        ]
    )
    func mapsTransport(_ row: TransportRow) async throws {
        let lost = HTTPFailure(kind: row.kind, bodySent: row.bodySent, description: "key SG.secret-key\r\nlost")
        let attempt = ScriptedAttempt(service: try self.service(), answers: [.failure(lost)])
        let (report, requests, commits) = await attempt.run()
        let failure = try #require(report.outcomes[0]?.failure)
        #expect(failure.persistence == row.persistence)
        #expect(failure.scope == row.scope)
        #expect(failure.stage == row.stage)
        #expect(failure.reason == row.reason)
        #expect(failure.text == "key ••• lost")
        #expect(commits == 1)
        #expect(requests.allSatisfy { $0.isSentOnce }, "a second one would be a second mail")
    }

    @Test("does not take a message with REQUIRETLS, since no API makes that promise (RFC 8689 §4.2.1)")
    func requireTLS() async throws {
        var attempt = ScriptedAttempt(service: try self.service(), answers: [response(202)])
        attempt.parameters.requireTLS = true
        let (report, requests, _) = await attempt.run()
        let failure = try #require(report.outcomes[0]?.failure)
        #expect(failure.persistence == .permanent && failure.scope == .capability)
        #expect(failure.status.description == "5.7.30")
        #expect(requests.isEmpty)
    }

    @Test(
        "holds a refused From field against the domain of the reverse-path only where it is the same one",
        arguments: [
            ("bounce@APP.test", "Shop <a@app.test>", Failure.Persistence.permanent),
            ("bounce@xn--bcher-kva.test", "a@b\u{FC}cher.test", .permanent),
            ("bounce@app.test", "a@visitor.test", .transient),
            ("bounce@app.test", "a@app.test, b@visitor.test", .transient),
            ("", "mailer-daemon@app.test", .transient),
        ]
    )
    func refusedSender(reversePath: String, from: String, persistence: Failure.Persistence) async throws {
        var attempt = ScriptedAttempt(
            service: try #require(MailgunService(.init(key: ScriptedAttempt.key, domain: "mg.test"))),
            answers: [response(404, "Domain not found")],
            content: "From: \(from)\r\nTo: user@gmail.com\r\n\r\nx"
        )
        attempt.reversePath = reversePath.isEmpty ? .null : .mailbox(mailbox(reversePath))
        let failure = try #require(await attempt.run().report.outcomes[0]?.failure)
        #expect(failure.scope == .sender && failure.persistence == persistence)
        #expect(failure.status.description == (persistence == .permanent ? "5.3.5" : "4.3.5"))
    }

    @Test("gives an international domain as A-labels wherever it stands; only a local part has no other form")
    func internationalDomains() async throws {
        let content = SampleMessages.lines(
            "From: Shop <a@b\u{FC}cher.test>",
            "Reply-To: r@b\u{FC}cher.test",
            "To: U <u@B\u{FC}cher.test>",
            "",
            "x"
        )
        let services: [any HTTPMailService] = [
            try self.service(), try #require(MailgunService(.init(key: ScriptedAttempt.key))),
        ]
        for service in services {
            let (report, requests, _) = await ScriptedAttempt(
                service: service,
                answers: [response(service is SendGridService ? 202 : 200, #"{"id":"1"}"#)],
                content: content,
                recipients: ["u@b\u{FC}cher.test", "\u{FC}@x.test"]
            ).run()
            #expect(report.outcomes[0]?.failure == nil)
            #expect(report.outcomes[1]?.failure?.scope == .capability)
            let request = try #require(requests.first)
            let text = bodyText(request)
            #expect(text.contains("u@xn--bcher-kva.test"))
            if service is SendGridService {
                #expect(text.contains(#""to":[{"email":"u@xn--bcher-kva.test","name":"U"}]"#))
                #expect(!text.contains("\u{FC}"))
            } else {
                #expect(request.url.hasSuffix("/v3/xn--bcher-kva.test/messages.mime"))
            }
        }
    }

    @Test("does not call a recipient ambiguous whose call was never made")
    func ambiguousIsExact() async throws {
        let lost = HTTPFailure(kind: .connectionLost, bodySent: true, description: "lost")
        let people = ["a@x.test", "b@x.test"]
        let (report, requests, _) = await ScriptedAttempt(
            service: try self.service(),
            answers: [.failure(lost)],
            recipients: people
        ).run()
        #expect(requests.count == 1)
        #expect(report.outcomes[0]?.failure?.persistence == .ambiguous)
        #expect(report.outcomes[1]?.failure?.persistence == .transient)
    }

    @Test(
        "asks for nothing when the service's name cannot be resolved, and never bounces for it",
        arguments: [
            (Lookup<IPAddress>.unavailable(.init("no DNS source could answer")), Failure.Reason.dnsUnavailable),
            (.noSuchName(timeToLive: .zero), .noSuchDomain),
            (.noData(timeToLive: .zero), .noAddress),
        ]
    )
    func unresolved(lookup: Lookup<IPAddress>, reason: Failure.Reason) async throws {
        var attempt = ScriptedAttempt(service: try self.service(), answers: [response(202)])
        attempt.resolver.lookup = lookup
        let (report, requests, commits) = await attempt.run()
        let failure = try #require(report.outcomes[0]?.failure)
        #expect(failure.persistence == .transient && failure.scope == .provider && failure.stage == .resolve)
        #expect(failure.reason == reason)
        #expect(requests.isEmpty && commits == 0)
        #expect(report.evidence.resolution.first?.contains("A api.sendgrid.com: 8.8.8.8") == true)
    }

    @Test("gives the call no more time than the attempt has, and makes none when it is over")
    func keepsDeadline() async throws {
        var attempt = ScriptedAttempt(service: try self.service(), answers: [response(202)], deadline: .seconds(5))
        let (_, requests, _) = await attempt.run()
        #expect(try #require(requests.first).timeout <= .seconds(5))
        attempt.deadline = .seconds(-1)
        let (report, none, commits) = await attempt.run()
        #expect(none.isEmpty && commits == 0)
        #expect(report.outcomes[0]?.failure?.reason == .timeout)
    }

    @Test("shows the key in no text, whatever a service says")
    func hidesKey() async throws {
        let token = "YXBpOlNHLnNlY3JldC1rZXk="
        let body = #"{"message":"bad key SG.secret-key or \#(token)\r\n\u001b[31m"}"#
        let services: [any HTTPMailService] = [
            try self.service(), try #require(MailgunService(.init(key: ScriptedAttempt.key))),
        ]
        for service in services {
            let (report, _, _) = await ScriptedAttempt(service: service, answers: [response(401, body)]).run()
            let text = "\(report) \(try #require(report.outcomes[0]?.failure).text)"
            #expect(!text.contains("secret-key"))
            #expect(!text.contains(token) || service is SendGridService)
            #expect(try #require(report.outcomes[0]?.failure).text.count <= 300)
        }
        var dumped = ""
        dump(SendGridConfiguration(key: ScriptedAttempt.key), to: &dumped)
        dump(ScriptedAttempt.key, to: &dumped)
        #expect(!(dumped + "\(ScriptedAttempt.key)" + String(reflecting: ScriptedAttempt.key)).contains("secret"))
    }

    @Test(
        "accepts only a base URL that leads where it says",
        arguments: [
            ("https://api.example.com", "https://api.example.com"),
            ("https://[2001:db8::1]:8443/base/", "https://[2001:db8::1]:8443/base"),
            ("http://api.example.com", nil), ("file:///etc/passwd", nil), ("gopher://x", nil),
            ("https://user@host", nil),
            ("https://host:0", nil), ("https://host:x", nil), ("https://host/a?b", nil), ("https://", nil),
            ("https://a b", nil),
        ]
    )
    func readsEndpoint(text: String, expected: String?) {
        #expect(Endpoint(text)?.description == expected)
    }
}
