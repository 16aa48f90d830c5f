import Delivery
import MailModel
import SMTPClient
import SMTPProtocol
import Testing

@testable import DirectMX

struct FailureTableTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var stage: ClientStage
        var code: UInt16
        var status: EnhancedStatusCode?
        var text: String
        var persistence: Failure.Persistence
        var scope: Failure.Scope
        var reason: Failure.Reason

        init(
            _ stage: ClientStage,
            _ code: UInt16,
            _ status: String,
            _ text: String,
            _ persistence: Failure.Persistence,
            _ scope: Failure.Scope,
            _ reason: Failure.Reason
        ) {
            self.stage = stage
            self.code = code
            self.status = EnhancedStatusCode(status)
            self.text = text
            self.persistence = persistence
            self.scope = scope
            self.reason = reason
        }

        var testDescription: String {
            "\(self.stage): \(self.code) \(self.text)"
        }
    }

    @Test(
        "a server's word is judged row by row",
        arguments: [
            Row(.greeting, 421, "4.3.2", "busy", .transient, .destination, .serviceUnavailable),
            Row(.greeting, 554, "", "no SMTP service here", .transient, .destination, .policyRefused),
            Row(.greeting, 554, "5.7.1", "blocked", .transient, .destination, .policyRefused),
            Row(.ehlo, 450, "", "later", .transient, .destination, .serviceUnavailable),
            Row(.ehlo, 550, "5.7.1", "helo", .transient, .destination, .policyRefused),
            Row(.tls, 421, "4.7.0", "no", .transient, .destination, .tlsFailed),
            Row(.mail, 451, "4.3.0", "later", .transient, .destination, .serviceUnavailable),
            Row(.mail, 550, "5.7.1", "client refused", .transient, .destination, .policyRefused),
            Row(.mail, 553, "5.1.8", "sender domain", .permanent, .capability, .senderNotVerified),
            Row(.mail, 501, "5.5.4", "invalid parameter", .permanent, .capability, .protocolError),
            Row(.rcpt, 555, "5.5.4", "unsupported parameter", .permanent, .capability, .protocolError),
            Row(.rcpt, 421, "4.3.2", "closing", .transient, .destination, .serviceUnavailable),
            Row(.rcpt, 501, "5.1.3", "bad address", .permanent, .recipient, .recipientRefused),
            Row(.mail, 552, "5.3.4", "size", .permanent, .capability, .tooLarge),
            Row(.rcpt, 550, "5.1.1", "no such user", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 550, "", "unknown user", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 552, "5.2.2", "mailbox full", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 552, "", "Too many recipients", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 552, "5.5.3", "too many", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 550, "5.5.3", "too many", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 450, "4.7.1", "greylisted", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 452, "4.2.2", "mailbox full", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 554, "5.7.1", "blocked using zen.spamhaus.org", .transient, .destination, .policyRefused),
            Row(.rcpt, 550, "", "your IP is on our blacklist", .transient, .destination, .policyRefused),
            Row(.rcpt, 550, "5.7.1", "user takes no mail from you", .permanent, .recipient, .recipientRefused),
            Row(.data, 451, "4.3.0", "disk", .transient, .message, .serviceUnavailable),
            Row(.commit, 451, "4.3.0", "disk", .transient, .message, .serviceUnavailable),
            Row(.commit, 421, "4.7.28", "unusual rate - gsmtp", .transient, .destination, .policyRefused),
            Row(.commit, 550, "5.7.26", "unauthenticated - gsmtp", .transient, .destination, .policyRefused),
            Row(.commit, 550, "5.7.25", "no PTR - gsmtp", .transient, .destination, .policyRefused),
            Row(.commit, 550, "5.7.1", "policy - gsmtp", .transient, .destination, .policyRefused),
            Row(.commit, 552, "5.7.0", "content blocked - gsmtp", .permanent, .message, .contentRefused),
            Row(.commit, 554, "5.6.0", "spam", .permanent, .message, .contentRefused),
            Row(.commit, 552, "5.2.2", "over quota", .permanent, .recipient, .recipientRefused),
            Row(.commit, 552, "5.3.4", "too big", .permanent, .capability, .tooLarge),
        ]
    )
    func replies(_ row: Row) {
        let seen = ClientFailure(row.stage, .reply(Reply(row.code, row.status, row.text)))
        let failure = FailureTable.failure(seen, host: "mx")
        #expect(failure.persistence == row.persistence)
        #expect(failure.scope == row.scope)
        #expect(failure.reason == row.reason)
        #expect(failure.stage == row.stage.deliveryStage)
        #expect(failure.status.statusClass == (row.persistence == .permanent ? 5 : 4))
    }

    struct Event: Sendable {
        var seen: ClientFailure
        var persistence: Failure.Persistence
        var scope: Failure.Scope
        var status: String
    }

    @Test(
        "what happens to a connection is judged row by row",
        arguments: [
            Event(
                seen: .init(.connect, .notConnected("x")),
                persistence: .transient,
                scope: .destination,
                status: "4.4.1"
            ),
            Event(seen: .init(.ehlo, .timeout), persistence: .transient, scope: .destination, status: "4.4.2"),
            Event(seen: .init(.data, .lost("x")), persistence: .transient, scope: .destination, status: "4.4.2"),
            Event(seen: .init(.tls, .tls("x")), persistence: .transient, scope: .destination, status: "4.7.5"),
            Event(
                seen: .init(.commit, .lost("x"), mayHaveBeenAccepted: true),
                persistence: .ambiguous,
                scope: .destination,
                status: "4.4.2"
            ),
            Event(
                seen: .init(.mail, .notOffered("SMTPUTF8")),
                persistence: .permanent,
                scope: .capability,
                status: "5.6.7"
            ),
            Event(
                seen: .init(.mail, .tooLarge(limit: 1)),
                persistence: .permanent,
                scope: .capability,
                status: "5.3.4"
            ),
            Event(seen: .init(.greeting, .ourselves), persistence: .permanent, scope: .capability, status: "5.4.6"),
            Event(seen: .init(.data, .local("x")), persistence: .transient, scope: .local, status: "4.3.0"),
        ]
    )
    func events(_ event: Event) {
        let failure = FailureTable.failure(event.seen, host: "mx")
        #expect(failure.persistence == event.persistence)
        #expect(failure.scope == event.scope)
        #expect(failure.status.description == event.status)
    }
}
