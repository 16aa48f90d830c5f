import Delivery
import FoundationEssentials
import HTTPAPI
import HTTPTransport
import NIOCore
import TestKit
import Testing

@Suite struct SendGridTests {
    /// The parts of SendGrid's JSON that are looked at.
    struct Sent: Decodable {
        struct Address: Decodable {
            var email: String
            var name: String?
        }
        struct Personalization: Decodable {
            var to: [Address]
            var cc: [Address]?
            var bcc: [Address]?

            var everyone: [String] {
                (self.to + (self.cc ?? []) + (self.bcc ?? [])).map(\.email)
            }
        }
        struct Content: Decodable {
            var type: String
            var value: String
        }
        struct Attachment: Decodable {
            var filename: String
            var type: String
            var disposition: String
            var content_id: String?
        }
        struct Enable: Decodable {
            var enable: Bool
        }
        struct Tracking: Decodable {
            var open_tracking: Enable
            var click_tracking: Enable
        }
        struct Settings: Decodable {
            var sandbox_mode: Enable
        }
        var personalizations: [Personalization]
        var from: Address
        var reply_to: Address?
        var subject: String
        var content: [Content]
        var attachments: [Attachment]?
        var headers: [String: String]?
        var categories: [String]?
        var custom_args: [String: String]
        var tracking_settings: Tracking
        var mail_settings: Settings?
    }

    private static let accepted = response(202, headers: [("X-Message-Id", "abc")])

    private func service(
        _ configuration: SendGridConfiguration = .init(key: ScriptedAttempt.key)
    ) throws -> SendGridService {
        try #require(SendGridService(configuration))
    }

    private func sent(_ request: HTTPRequest) throws -> Sent {
        try JSONDecoder().decode(Sent.self, from: Data(bodyText(request).utf8))
    }

    @Test("tells a message of Django with texts, attachments, tags and names")
    func tells() async throws {
        let people = [
            "taro@example.jp", "HANAKO@example.jp", "boss@example.jp", "blind@example.net", "blind@example.net",
        ]
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: SampleMessages.djangoAlternatives,
            recipients: people
        )
        let (report, requests, commits) = await attempt.run()
        let request = try #require(requests.first)
        #expect(requests.count == 1)
        #expect(commits == 1)
        #expect(request.url == "https://api.sendgrid.com/v3/mail/send")
        #expect(request.headers.contains { $0 == ("Authorization", "Bearer SG.secret-key") })
        let sent = try self.sent(request)
        #expect(sent.personalizations.count == 1)
        #expect(sent.personalizations[0].to.map(\.email) == ["taro@example.jp", "hanako@example.jp"])
        #expect(sent.personalizations[0].to.map(\.name) == ["Yamada, Taro", nil])
        #expect(sent.personalizations[0].cc?.map(\.email) == ["boss@example.jp"])
        #expect(sent.personalizations[0].bcc?.map(\.email) == ["blind@example.net"])
        #expect(sent.from.name == "ショップ")
        #expect(sent.reply_to?.email == "help@app.example.com")
        #expect(sent.subject == "ご注文ありがとうございます")
        #expect(sent.content.map(\.type) == ["text/plain", "text/html"])
        #expect(sent.attachments?.map(\.filename) == ["logo.png", "請求書.pdf"])
        #expect(sent.attachments?.map(\.disposition) == ["inline", "attachment"])
        #expect(sent.headers == ["Message-ID": "<176397582312.7.5678@web-1>", "X-Order": "42"])
        #expect(sent.categories == ["order"])
        #expect(sent.custom_args["gw_id"] == "00000000001A")
        #expect(!sent.tracking_settings.open_tracking.enable && !sent.tracking_settings.click_tracking.enable)
        #expect(sent.mail_settings == nil)
        #expect(report.outcomes.count == 5)
        for outcome in report.outcomes.values {
            guard case .delivered(let acceptance) = outcome else {
                Issue.record("\(outcome)")
                continue
            }
            #expect(acceptance.providerMessageID == "abc")
        }
        #expect(!report.evidence.headerRewritten)
        #expect(report.evidence.remoteAddress == "192.0.2.1:443")
        #expect(report.evidence.resolution.count == 2)
    }

    @Test("mails only the envelope's recipients, whatever the header says")
    func keepsToEnvelope() async throws {
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: SampleMessages.djangoAlternatives,
            recipients: ["hanako@example.jp"]
        )
        let (report, requests, _) = await attempt.run()
        #expect(try self.sent(#require(requests.first)).personalizations.flatMap(\.everyone) == ["hanako@example.jp"])
        #expect(report.evidence.headerRewritten)
    }

    @Test("calls once for each recipient when nobody stands in To, and gives each its own outcome")
    func callsForEach() async throws {
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted, response(429, "{}"), Self.accepted],
            recipients: ["a@x.test", "b@x.test", "c@x.test"]
        )
        let (report, requests, commits) = await attempt.run()
        #expect(
            try requests.map { try self.sent($0).personalizations.flatMap(\.everyone) } == [["a@x.test"], ["b@x.test"]]
        )
        #expect(commits == 1)
        #expect(report.outcomes[0]?.failure == nil)
        #expect(report.outcomes[1]?.failure?.reason == .rateLimited)
        #expect(report.outcomes[2]?.failure?.reason == .rateLimited)
    }

    @Test("records that of a message with Cc alone nobody sees the others; without To and Cc nothing is lost")
    func recordsLostCc() async throws {
        for (field, isRewritten) in [("Cc: a@x.test, b@x.test", true), ("X-Group: people", false)] {
            let (report, requests, _) = await ScriptedAttempt(
                service: try self.service(),
                answers: [Self.accepted],
                content: "From: s@x.test\r\n\(field)\r\n\r\nx",
                recipients: ["a@x.test", "b@x.test"]
            ).run()
            #expect(requests.count == 2)
            #expect(report.evidence.headerRewritten == isRewritten)
        }
    }

    @Test("asks in several calls for more recipients than one may name, each of them once")
    func splitsLargeLists() async throws {
        let service = try self.service(.init(key: ScriptedAttempt.key, recipientLimit: 2))
        let (report, requests, commits) = await ScriptedAttempt(
            service: service,
            answers: [Self.accepted],
            content: "From: s@x.test\r\nTo: a@x.test, c@x.test\r\n\r\nx",
            recipients: ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"]
        ).run()
        let named = try requests.map { try self.sent($0).personalizations.flatMap(\.everyone) }
        #expect(named == [["a@x.test", "b@x.test"], ["c@x.test", "d@x.test"], ["e@x.test"]])
        #expect(commits == 1)
        #expect(report.outcomes.count == 5)
        #expect(report.outcomes.values.allSatisfy { $0.failure == nil })
        #expect(report.evidence.headerRewritten)
    }

    @Test("writes what all calls of a message share once, however many there are")
    func sharesOctets() async throws {
        let people = (0..<200).map { "r\($0)@x.test" }
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: SampleMessages.djangoAlternatives,
            recipients: people
        )
        let (_, requests, _) = await attempt.run()
        #expect(try requests.flatMap { try self.sent($0).personalizations.flatMap(\.everyone) } == people)
        let places = requests.map { request -> UnsafeRawPointer? in
            guard case .pieces(let pieces) = request.body, case .bytes(let buffer) = pieces.last else {
                return nil
            }
            return buffer.withUnsafeReadableBytes { UnsafeRawPointer($0.baseAddress) }
        }
        #expect(places.first != .some(nil) && Set(places).count == 1)
    }

    @Test("sends again without a recipient that was refused")
    func resends() async throws {
        let refusal =
            #"{"errors":[{"message":"Does not contain a valid address.","field":"personalizations.0.bcc.0.email"}]}"#
        let attempt = ScriptedAttempt(
            service: try self.service(),
            answers: [response(400, refusal), Self.accepted],
            recipients: ["user@gmail.com", "bad@x.test", "good@x.test"]
        )
        let (report, requests, commits) = await attempt.run()
        #expect(
            try self.sent(#require(requests.last)).personalizations.flatMap(\.everyone) == [
                "user@gmail.com", "good@x.test",
            ]
        )
        #expect(requests.count == 2)
        #expect(commits == 1)
        #expect(report.outcomes[0]?.failure == nil)
        #expect(report.outcomes[1]?.failure?.scope == .recipient)
        #expect(report.outcomes[1]?.failure?.persistence == .permanent)
        #expect(report.outcomes[2]?.failure == nil)
    }

    @Test(
        "reads each row of SendGrid's table",
        arguments: [
            ResponseRow(
                status: 400,
                body: error("Does not contain a valid address.", "from.email"),
                persistence: .permanent,
                scope: .message,
                reason: .contentRefused
            ),
            ResponseRow(
                status: 400,
                body: error("Does not contain a valid address.", "personalizations.0.to.0.email"),
                persistence: .permanent,
                scope: .recipient,
                reason: .recipientRefused
            ),
            ResponseRow(
                status: 400,
                body: error("Each email address should be unique", "personalizations"),
                persistence: .permanent,
                scope: .capability,
                reason: .notSupported
            ),
            ResponseRow(
                status: 400,
                body: #"{"errors":[{"message":"Bad Request","field":null,"help":null}]}"#,
                persistence: .permanent,
                scope: .capability,
                reason: .notSupported
            ),
            ResponseRow(
                status: 400,
                body: "not json",
                persistence: .permanent,
                scope: .capability,
                reason: .notSupported
            ),
            ResponseRow(
                status: 401,
                body: error("The provided authorization grant is invalid, expired, or revoked"),
                persistence: .permanent,
                scope: .provider,
                reason: .authenticationFailed
            ),
            ResponseRow(
                status: 401,
                body: error("Maximum credits exceeded"),
                persistence: .transient,
                scope: .provider,
                reason: .quotaExceeded,
                wait: .seconds(3_600),
                isWaitGuessed: true
            ),
            ResponseRow(
                status: 401,
                body: error("Maximum credits exceeded"),
                headers: ["X-RateLimit-Reset": "1640032002"],
                persistence: .transient,
                scope: .provider,
                reason: .quotaExceeded,
                wait: .seconds(3_600),
                isWaitGuessed: true
            ),
            ResponseRow(
                status: 402,
                headers: ["X-RateLimit-Reset": "1640031000", "Retry-After": "600"],
                persistence: .transient,
                scope: .provider,
                reason: .quotaExceeded,
                wait: .seconds(600)
            ),
            ResponseRow(
                status: 403,
                body: error("The from address does not match a verified Sender Identity. Mail cannot be sent", "from"),
                persistence: .permanent,
                scope: .sender,
                reason: .senderNotVerified
            ),
            ResponseRow(
                status: 403,
                body: error("access forbidden"),
                persistence: .permanent,
                scope: .provider,
                reason: .authenticationFailed
            ),
            ResponseRow(status: 302, persistence: .permanent, scope: .sender, reason: .misconfigured),
            ResponseRow(status: 404, persistence: .permanent, scope: .sender, reason: .misconfigured),
            ResponseRow(status: 405, persistence: .permanent, scope: .sender, reason: .misconfigured),
            ResponseRow(status: 406, persistence: .permanent, scope: .sender, reason: .misconfigured),
            ResponseRow(status: 415, persistence: .permanent, scope: .sender, reason: .misconfigured),
            ResponseRow(status: 413, persistence: .permanent, scope: .capability, reason: .tooLarge),
            ResponseRow(
                status: 429,
                headers: ["X-RateLimit-Reset": "1640032030"],
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited,
                wait: .seconds(30)
            ),
            ResponseRow(
                status: 429,
                headers: ["Retry-After": "7"],
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited,
                wait: .seconds(7)
            ),
            ResponseRow(
                status: 429,
                headers: ["retry-after": "1000000000"],
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited,
                wait: .seconds(3_600)
            ),
            ResponseRow(
                status: 429,
                headers: ["X-RateLimit-Reset": "9223372036854775807"],
                persistence: .transient,
                scope: .provider,
                reason: .rateLimited,
                wait: .seconds(3_600)
            ),
            ResponseRow(status: 429, persistence: .transient, scope: .provider, reason: .rateLimited),
            ResponseRow(status: 451, persistence: .permanent, scope: .sender, reason: .misconfigured),
            ResponseRow(
                status: 500,
                body: error("oops"),
                persistence: .transient,
                scope: .provider,
                reason: .serviceUnavailable
            ),
            ResponseRow(
                status: 504,
                body: error("oops"),
                persistence: .transient,
                scope: .provider,
                reason: .serviceUnavailable
            ),
            ResponseRow(
                status: 502,
                body: error("oops"),
                persistence: .transient,
                scope: .provider,
                reason: .serviceUnavailable
            ),
            ResponseRow(
                status: 503,
                body: error("oops"),
                persistence: .transient,
                scope: .provider,
                reason: .serviceUnavailable
            ),
            ResponseRow(
                status: 503,
                body: "<html>",
                headers: ["Retry-After": "30"],
                persistence: .transient,
                scope: .provider,
                reason: .serviceUnavailable,
                wait: .seconds(30)
            ),
            ResponseRow(status: 500, persistence: .ambiguous, scope: .provider, reason: .noAnswer),
            ResponseRow(status: 502, body: "<html>", persistence: .ambiguous, scope: .provider, reason: .noAnswer),
            ResponseRow(status: 504, persistence: .ambiguous, scope: .provider, reason: .noAnswer),
            ResponseRow(status: 408, persistence: .ambiguous, scope: .provider, reason: .noAnswer),
            ResponseRow(status: 200, body: error("what"), persistence: .ambiguous, scope: .provider, reason: .noAnswer),
        ]
    )
    func maps(_ row: ResponseRow) async throws {
        let (report, _, commits) = await ScriptedAttempt(service: try self.service(), answers: [row.answer]).run()
        let failure = try #require(report.outcomes[0]?.failure)
        #expect(failure.persistence == row.persistence)
        #expect(failure.scope == row.scope)
        #expect(failure.reason == row.reason)
        #expect(failure.retryAfter == row.wait)
        #expect(failure.isWaitGuessed == row.isWaitGuessed)
        #expect(failure.stage == .commit)
        #expect(commits == 1)
    }

    @Test("counts 200 as accepted in the sandbox alone")
    func sandbox() async throws {
        let service = try self.service(.init(key: ScriptedAttempt.key, region: .eu, isSandbox: true))
        let (report, requests, _) = await ScriptedAttempt(service: service, answers: [response(200, "{}")]).run()
        #expect(report.outcomes[0]?.failure == nil)
        let request = try #require(requests.first)
        #expect(request.url.hasPrefix("https://api.eu.sendgrid.com/"))
        #expect(try self.sent(request).mail_settings?.sandbox_mode.enable == true)
    }

    @Test(
        "passes on to another provider what it cannot carry, and asks for nothing",
        arguments: [
            "From: a@x.test\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b--\r\n",
            "From: a@x.test, b@x.test\r\n\r\nx", "Subject: no sender\r\n\r\nx",
            "From: a@x.test\r\nDKIM-Signature: v=1\r\n\r\nx",
            "From: a@x.test\r\n\r\n" + String(repeating: "x", count: 3_000),
        ]
    )
    func declines(_ content: String) async throws {
        let service = try self.service(.init(key: ScriptedAttempt.key, sizeLimit: 2_000))
        let (report, requests, commits) = await ScriptedAttempt(
            service: service,
            answers: [Self.accepted],
            content: content
        ).run()
        #expect(report.outcomes[0]?.failure?.scope == .capability)
        #expect(requests.isEmpty)
        #expect(commits == 0)
    }

    @Test("lets no file name, subject or header of a message add recipients or fields")
    func resistsInjection() async throws {
        let content = SampleMessages.lines(
            #"From: "x\",\"bcc\":[{" <a@x.test>"#,
            "To: user@gmail.com",
            "Subject: =?utf-8?q?x=22,=0D=0ABcc:_evil@x.test?=",
            "X-Evil: =?utf-8?q?a=0D=0ABcc:_evil@x.test?=",
            "Content-Type: application/pdf",
            "Content-Disposition: attachment; filename*=utf-8''a%0D%0AX%3A%22%2C%22to%22%3B.pdf",
            "",
            "x"
        )
        let (_, requests, _) = await ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: content
        ).run()
        let sent = try self.sent(#require(requests.first))
        #expect(sent.personalizations.flatMap(\.everyone) == ["user@gmail.com"])
        #expect(sent.attachments?.map(\.filename) == ["a__X:\",\"to\"_.pdf"])
        #expect(sent.subject == "x\",  Bcc: evil@x.test")
        #expect(sent.headers?["X-Evil"] == "=?utf-8?q?a=0D=0ABcc:_evil@x.test?=")
    }

    @Test("gives an empty message a space for its subject and its text")
    func fillsEmpty() async throws {
        let content = "From: a@x.test\r\nTo: user@gmail.com\r\n\r\n"
        let (_, requests, _) = await ScriptedAttempt(
            service: try self.service(),
            answers: [Self.accepted],
            content: content
        ).run()
        let sent = try self.sent(#require(requests.first))
        #expect(sent.subject == " ")
        #expect(sent.content.map(\.value) == [" "])
    }
}

private func error(_ message: String, _ field: String? = nil) -> String {
    #"{"errors":[{"message":"\#(message)","field":\#(field.map { "\"\($0)\"" } ?? "null")}]}"#
}
