import Delivery
import HTTPAPI
import HTTPTransport
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

    private func events(_ recipients: String...) -> Result<HTTPResponse, HTTPFailure> {
        let items = recipients.map { #"{"event":"accepted","recipient":"\#($0)","message":{"size":1}}"# }
        return response(200, #"{"items":[\#(items.joined(separator: ","))],"paging":{}}"#)
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
