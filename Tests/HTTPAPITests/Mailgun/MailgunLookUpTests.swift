import Delivery
import HTTPAPI
import HTTPTransport
import MailModel
import TestKit
import Testing

/// What happens when the answer to an earlier call never came.
@Suite struct MailgunLookUpTests {
    private static let queued = response(200, #"{"id":"<1@web>","message":"Queued. Thank you."}"#)
    private static let recipients = ["taro@example.jp", "u@b\u{FC}cher.test"]

    private func run(
        _ answers: [Result<HTTPResponse, HTTPFailure>],
        ambiguousAt: String? = "api",
        messageID: String = "<1@web>"
    ) async throws -> (report: AttemptReport, requests: [HTTPRequest], commits: Int) {
        let configuration = MailgunConfiguration(key: ScriptedAttempt.key, domain: "mg.test")
        return await ScriptedAttempt(
            service: try #require(MailgunService(configuration)),
            answers: answers,
            messageID: messageID,
            recipients: Self.recipients,
            ambiguousAt: ambiguousAt
        ).run()
    }

    private func events(_ recipients: String..., next: String? = nil) -> Result<HTTPResponse, HTTPFailure> {
        let items = recipients.map { #"{"event":"accepted","recipient":"\#($0)","message":{"size":1}}"# }
        let paging = next.map { #""next":"\#($0)""# } ?? ""
        return response(200, #"{"items":[\#(items.joined(separator: ","))],"paging":{\#(paging)}}"#)
    }

    @Test("sends nothing a second time that the service has taken over")
    func knowsAll() async throws {
        let (report, requests, commits) = try await self.run([self.events("Taro@example.jp", "u@xn--bcher-kva.test")])
        #expect(
            requests.map(\.url) == [
                "https://api.mailgun.net/v3/mg.test/events?event=accepted&limit=300&message-id=1%40web"
            ]
        )
        #expect(commits == 0)
        let named = report.outcomes.values.map { outcome -> String? in
            guard case .delivered(let acceptance) = outcome else {
                return nil
            }
            return acceptance.providerMessageID
        }
        #expect(named == ["1@web", "1@web"])
    }

    @Test(
        "sends nothing before the service can tell, keeps what it tells, and does not wait for one that does not",
        arguments: [(-10, true, 50), (-60, true, nil), (3_600, true, 60), (-10, false, nil)]
    )
    func waits(since seconds: Int, tells: Bool, wait: Int?) async throws {
        let attempt = ScriptedAttempt(
            service: try #require(MailgunService(.init(key: ScriptedAttempt.key, domain: "mg.test"))),
            answers: [tells ? self.events("taro@example.jp") : response(401), Self.queued],
            recipients: Self.recipients,
            ambiguousAt: "api",
            deferredSince: ScriptedAttempt.now + .seconds(seconds)
        )
        let (report, requests, commits) = await attempt.run()
        #expect(report.outcomes[0]?.failure == nil)
        #expect(report.outcomes[1]?.failure?.scope == wait.map { _ in .local })
        #expect(report.outcomes[1]?.failure?.retryAfter == wait.map { .seconds($0) })
        #expect(requests.count == (wait == nil ? 2 : 1) && commits == (wait == nil ? 1 : 0))
    }

    private static let secondPage = "https://api.mailgun.net/v3/mg.test/events/W3siYSI6"

    @Test("reads the next page where the first does not name all, and each may be as long as 300 events are")
    func readsOn() async throws {
        let (report, requests, commits) = try await self.run([
            self.events("taro@example.jp", next: Self.secondPage),
            self.events("u@xn--bcher-kva.test", next: Self.secondPage + "x"),
        ])
        #expect(requests.map(\.method) == [.get, .get] && requests.last?.url == Self.secondPage)
        #expect(requests.allSatisfy { $0.responseLimit == 1 << 20 })
        #expect(requests.allSatisfy { $0.headers.contains { $0.name == "Authorization" } })
        #expect(commits == 0 && report.outcomes.values.allSatisfy { $0.failure == nil })
    }

    @Test("ends with the empty page, which names one more")
    func readsToTheEnd() async throws {
        let (_, requests, commits) = try await self.run([
            self.events("taro@example.jp", next: Self.secondPage), self.events(next: Self.secondPage), Self.queued,
        ])
        #expect(requests.map(\.method) == [.get, .get, .post] && commits == 1)
        #expect(!bodyText(try #require(requests.last)).contains("name=\"to\"\r\n\r\ntaro@"))
    }

    @Test(
        "shows the key nowhere but at the domain's own events",
        arguments: [
            "https://evil.test/v3/mg.test/events/x", "http://api.mailgun.net/v3/mg.test/events/x",
            "https://api.mailgun.net.evil.test/v3/mg.test/events/x", "https://api.mailgun.net/v3/other.test/events/x",
            "https://api.mailgun.net/v3/mg.test/events/../../x", "https://api.mailgun.net/v3/mg.test/events/x y",
        ]
    )
    func staysThere(next: String) async throws {
        let (_, requests, _) = try await self.run([self.events("taro@example.jp", next: next), Self.queued])
        #expect(requests.map(\.method) == [.get, .post])
        #expect(!bodyText(try #require(requests.last)).contains("name=\"to\"\r\n\r\ntaro@"))
    }

    @Test("reads so many pages and no more, and sends to those who were in none")
    func boundsPages() async throws {
        let (_, requests, commits) = try await self.run([self.events("taro@example.jp", next: Self.secondPage)])
        #expect(requests.filter { $0.method == .get }.count == HTTPAPIProvider.lookUpPageLimit)
        #expect(requests.last?.method == .post && commits == 1)
    }

    @Test("keeps what the pages said before one that could not be read")
    func losesAPage() async throws {
        let (_, requests, _) = try await self.run([
            self.events("taro@example.jp", next: Self.secondPage), response(500), Self.queued,
        ])
        #expect(requests.map(\.method) == [.get, .get, .post])
        #expect(!bodyText(try #require(requests.last)).contains("name=\"to\"\r\n\r\ntaro@"))
    }

    @Test("keeps what it learned when there is no time left for the others")
    func knowsSomeTooLate() async throws {
        let attempt = ScriptedAttempt(
            service: try #require(MailgunService(.init(key: ScriptedAttempt.key, domain: "mg.test"))),
            answers: [self.events("taro@example.jp")],
            recipients: Self.recipients,
            ambiguousAt: "api",
            deadline: .zero
        )
        let (report, requests, commits) = await attempt.run()
        #expect(requests.map(\.method) == [.get] && commits == 0)
        #expect(report.outcomes[0]?.failure == nil && report.outcomes[1]?.failure?.reason == .timeout)
    }

    @Test("sends to those of whom the service knows nothing, and to them alone")
    func knowsSome() async throws {
        let (report, requests, commits) = try await self.run([self.events("taro@example.jp"), Self.queued])
        #expect(requests.count == 2 && commits == 1)
        let form = bodyText(try #require(requests.last))
        #expect(form.contains("u@xn--bcher-kva.test") && !form.contains("name=\"to\"\r\n\r\ntaro@"))
        #expect(report.outcomes.count == 2 && report.outcomes.values.allSatisfy { $0.failure == nil })
    }

    @Test(
        "sends again when the service does not tell",
        arguments: [
            response(401, "Forbidden"), response(200, "Mailgun Magnificent API"), response(200, #"{"items":[]}"#),
            response(200, #"{"items":[{"event":"rejected","recipient":"taro@example.jp"},{"recipient":7}]}"#),
            .failure(HTTPFailure(kind: .timeout, bodySent: false, description: "late")),
        ]
    )
    func knowsNone(answer: Result<HTTPResponse, HTTPFailure>) async throws {
        let (report, requests, commits) = try await self.run([answer, Self.queued])
        #expect(requests.map(\.method) == [.get, .post])
        #expect(bodyText(try #require(requests.last)).contains("taro@example.jp"))
        #expect(commits == 1 && report.outcomes.values.allSatisfy { $0.failure == nil })
    }

    @Test("asks only where there is doubt, and only about this service", arguments: [nil, "another"])
    func noDoubt(ambiguousAt: String?) async throws {
        let (_, requests, _) = try await self.run([Self.queued], ambiguousAt: ambiguousAt)
        #expect(requests.map(\.method) == [.post])
    }

    @Test("writes a Message-ID so that nothing of it is taken for another part of the URL")
    func encodes() async throws {
        let (_, requests, _) = try await self.run([self.events()], messageID: "<CA+x&y=%41 \u{FC}#@web>")
        #expect(requests.first?.url.hasSuffix("&message-id=CA%2Bx%26y%3D%2541%20%C3%BC%23%40web") == true)
    }
}
