import Delivery
import FoundationEssentials
import HTTPAPI
import HTTPTransport
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite struct MailgunTests {
    private static let accepted = response(200, #"{"id":"<1@web>","message":"Queued. Thank you."}"#)
    private static let invalidTo = response(
        400,
        #"{"message":"'to' parameter is not a valid address. please check documentation"}"#
    )

    private func service(
        _ configuration: MailgunConfiguration = .init(key: ScriptedAttempt.key)
    ) throws -> MailgunService {
        let service = MailgunService(configuration) { "BOUNDARY" }
        return try #require(service)
    }

    /// The values of a field of the form.
    private func values(_ name: String, _ request: HTTPRequest) -> [String] {
        bodyText(request).split(separator: "--BOUNDARY\r\n").compactMap { part in
            let head = "Content-Disposition: form-data; name=\"\(name)\"\r\n\r\n"
            return part.hasPrefix(head) ? String(part.dropFirst(head.count).dropLast()) : nil
        }
    }

    @Test("sends the message as it is, with every recipient of the envelope beside it")
    func sends() async throws {
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: SampleMessages.djangoAlternatives,
            recipients: ["taro@example.jp", "blind@example.net", "\"a,b\"@example.net"]
        )
        let (report, requests, commits) = await attempt.run()
        let request = try #require(requests.first)
        #expect(request.url == "https://api.mailgun.net/v3/app.example.com/messages.mime")
        #expect(request.headers.contains { $0 == ("Authorization", "Basic YXBpOlNHLnNlY3JldC1rZXk=") })
        #expect(self.values("to", request) == ["taro@example.jp", "blind@example.net", "\"a,b\"@example.net"])
        #expect(self.values("o:tracking", request) == ["no"])
        #expect(self.values("o:testmode", request).isEmpty)
        let file = "name=\"message\"; filename=\"message.mime\"\r\nContent-Type: message/rfc822\r\n\r\n"
        #expect(bodyText(request).hasSuffix(file + SampleMessages.djangoAlternatives + "\r\n--BOUNDARY--\r\n"))
        #expect(commits == 1)
        guard case .delivered(let acceptance) = report.outcomes[1] else {
            Issue.record("\(report.outcomes)")
            return
        }
        #expect(acceptance.providerMessageID == "1@web")
    }

    @Test("gives the tags of the message, and of them none that would not be taken")
    func tags() async throws {
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: SampleMessages.lines(
                "From: a@app.example.com",
                "X-Gateway-Tag: order",
                "X-Tags: [\"mail\", \"order\", \"caf\\u00e9\"]",
                "X-Tag: new",
                "",
                "x"
            )
        )
        let (_, requests, _) = await attempt.run()
        #expect(self.values("o:tag", try #require(requests.first)) == ["order", "mail", "new"])
    }

    @Test("takes Bcc fields out of the message")
    func removesBlindCopies() async throws {
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: SampleMessages.djangoBlindCopy
        )
        let (_, requests, _) = await attempt.run()
        let text = bodyText(try #require(requests.first))
        #expect(!text.contains("secret"))
        #expect(text.contains("To: user@example.org\r\nDate:"))
        #expect(text.contains("\r\n\r\nbody\r\n"))
    }

    @Test("streams the content of a file without reading it whole")
    func streams() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "hikyaku-\(UInt64.random(in: 0...(.max)))")
            .path
        try Data(SampleMessages.djangoText.utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let service = try self.service(
            .init(key: ScriptedAttempt.key, domain: "mg.example.com", region: .eu, isTestMode: true)
        )
        let attempt = ScriptedAttempt(service: service, answers: [Self.accepted], storage: .file(path: path))
        let (report, requests, _) = await attempt.run()
        let request = try #require(requests.first)
        #expect(request.url == "https://api.eu.mailgun.net/v3/mg.example.com/messages.mime")
        #expect(bodyText(request).contains("<\(path) \(SampleMessages.djangoText.utf8.count)>"))
        #expect(self.values("o:testmode", request) == ["yes"])
        #expect(report.outcomes[0]?.failure == nil)
    }

    @Test("of a file that is streamed reads the header alone, however long the file is")
    func readsHeaderAlone() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "hikyaku-\(UInt64.random(in: 0...(.max)))")
            .path
        try Data(SampleMessages.djangoText.utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        // A hole, which takes no room on the disk, and more than there is memory for.
        #expect(truncate(path, 1 << 38) == 0)
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            storage: .file(path: path)
        )
        #expect(await attempt.run().report.outcomes[0]?.failure == nil)
    }

    @Test("keeps a message whose file is gone")
    func keepsWithoutFile() async throws {
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            storage: .file(path: "/nonexistent")
        )
        let (report, requests, commits) = await attempt.run()
        #expect(report.outcomes[0]?.failure?.scope == .local)
        #expect(requests.isEmpty && commits == 0)
    }

    @Test("finds a refused recipient by asking in halves")
    func halves() async throws {
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.invalidTo, Self.accepted, Self.invalidTo, Self.invalidTo, Self.accepted],
            recipients: ["a@x.test", "b@x.test", "bad@x.test", "d@x.test"]
        )
        let (report, requests, commits) = await attempt.run()
        #expect(requests.map { self.values("to", $0).count } == [4, 2, 2, 1, 1])
        #expect(commits == 1)
        #expect(report.outcomes.filter { $0.value.failure != nil }.map(\.key) == [2])
        #expect(report.outcomes[2]?.failure?.scope == .recipient)
    }

    @Test("bounds the calls when every recipient is refused")
    func boundsCalls() async throws {
        let people = (0..<500).map { "r\($0)@x.test" }
        let attempt = ScriptedAttempt(service: try self.service(), answers: [Self.invalidTo], recipients: people)
        let (report, requests, _) = await attempt.run()
        #expect(requests.count <= HTTPAPIProvider.followUpLimit + 1)
        #expect(report.outcomes.count == 500)
        #expect(report.outcomes.values.allSatisfy { $0.failure?.scope == .recipient })
    }

    @Test("asks in several calls for more recipients than one may name")
    func splitsLargeLists() async throws {
        let service = try self.service(.init(key: ScriptedAttempt.key, recipientLimit: 2))
        let people = ["a@x.test", "b@x.test", "c@x.test", "bad\r\nBcc: x@x.test", "ü@x.test"]
        let (report, requests, commits) = await ScriptedAttempt(
            service: service,
            answers: [Self.accepted],
            recipients: people
        ).run()
        #expect(requests.map { self.values("to", $0) } == [["a@x.test", "b@x.test"], ["c@x.test"]])
        #expect(commits == 1)
        #expect(report.outcomes[3]?.failure?.scope == .recipient)
        #expect(report.outcomes[4]?.failure?.scope == .capability)
    }

    @Test(
        "reads each row of Mailgun's table",
        arguments: [
            ResponseRow(
                status: 200,
                body: "Mailgun Magnificent API",
                persistence: .permanent,
                scope: .sender,
                reason: .misconfigured
            ),
            ResponseRow(
                status: 200,
                body: #"{"message":"ok"}"#,
                persistence: .permanent,
                scope: .sender,
                reason: .misconfigured
            ),
            ResponseRow(
                status: 400,
                body: #"{"message":"to parameter is not a valid address"}"#,
                persistence: .permanent,
                scope: .recipient,
                reason: .recipientRefused
            ),
            ResponseRow(
                status: 400,
                body: #"{"message":"'from' parameter is not a valid address"}"#,
                persistence: .permanent,
                scope: .message,
                reason: .contentRefused
            ),
            ResponseRow(
                status: 400,
                body: #"{"message":"from parameter is not a valid address. please check documentation to fix"}"#,
                persistence: .permanent,
                scope: .message,
                reason: .contentRefused
            ),
            ResponseRow(
                status: 400,
                body: "Too many recipients, max is 1000",
                persistence: .permanent,
                scope: .capability,
                reason: .notSupported
            ),
            ResponseRow(
                status: 400,
                body: #"{"message":"Domain mg.x is not allowed to send: free accounts are for test purposes only"}"#,
                persistence: .permanent,
                scope: .sender,
                reason: .senderNotVerified
            ),
            ResponseRow(
                status: 401,
                body: "Forbidden",
                persistence: .permanent,
                scope: .provider,
                reason: .authenticationFailed
            ),
            ResponseRow(
                status: 402,
                persistence: .transient,
                scope: .provider,
                reason: .quotaExceeded,
                wait: .seconds(3_600),
                isWaitGuessed: true
            ),
            ResponseRow(
                status: 403,
                body: "not allowed to send large batches yet",
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited
            ),
            ResponseRow(
                status: 403,
                body: "IP can't be used",
                persistence: .permanent,
                scope: .sender,
                reason: .misconfigured
            ),
            ResponseRow(
                status: 404,
                body: "Domain not found",
                persistence: .permanent,
                scope: .sender,
                reason: .misconfigured
            ),
            ResponseRow(status: 301, persistence: .permanent, scope: .sender, reason: .misconfigured),
            ResponseRow(
                status: 413,
                body: "request size exceeds 52.4MiB limit",
                persistence: .permanent,
                scope: .capability,
                reason: .tooLarge
            ),
            ResponseRow(
                status: 429,
                body: #"{"message":"recipient limit exceeded, try again after Mon, 20 Dec 2021 20:33:21 UTC"}"#,
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited,
                wait: .seconds(401)
            ),
            ResponseRow(
                status: 429,
                headers: ["Retry-After": "12"],
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited,
                wait: .seconds(12)
            ),
            ResponseRow(
                status: 429,
                headers: ["Retry-After": "Mon, 20 Dec 2021 20:33:21 GMT"],
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited,
                wait: .seconds(401)
            ),
            ResponseRow(status: 500, persistence: .ambiguous, scope: .provider, reason: .noAnswer),
            ResponseRow(status: 502, persistence: .ambiguous, scope: .provider, reason: .noAnswer),
            ResponseRow(
                status: 503,
                headers: ["Retry-After": "30"],
                persistence: .transient,
                scope: .provider,
                reason: .serviceUnavailable,
                wait: .seconds(30)
            ),
            ResponseRow(status: 504, persistence: .ambiguous, scope: .provider, reason: .noAnswer),
        ]
    )
    func maps(_ row: ResponseRow) async throws {
        let (report, _, _) = await ScriptedAttempt(service: try self.service(), answers: [row.answer]).run()
        let failure = try #require(report.outcomes[0]?.failure)
        #expect(failure.persistence == row.persistence)
        #expect(failure.scope == row.scope)
        #expect(failure.reason == row.reason)
        #expect(failure.retryAfter == row.wait)
        #expect(failure.isWaitGuessed == row.isWaitGuessed)
    }
}
