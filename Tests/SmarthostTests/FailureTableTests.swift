import Delivery
import MailModel
import SMTPProtocol
import Testing

@testable import Smarthost

struct FailureTableTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var stage: ClientStage
        var reply: Reply
        var persistence: Failure.Persistence
        var scope: Failure.Scope
        var reason: Failure.Reason
        var retryAfter: Duration?

        init(
            _ stage: ClientStage,
            _ code: UInt16,
            _ status: String,
            _ text: String,
            _ persistence: Failure.Persistence,
            _ scope: Failure.Scope,
            _ reason: Failure.Reason,
            retryAfter: Duration? = nil
        ) {
            self.stage = stage
            self.reply = Reply(code, EnhancedStatusCode(status), text)
            self.persistence = persistence
            self.scope = scope
            self.reason = reason
            self.retryAfter = retryAfter
        }

        var testDescription: String {
            "\(self.stage): \(self.reply)"
        }
    }

    @Test(
        "Gmail's replies and their kin are judged row by row; the account never bounces a message",
        arguments: [
            Row(
                .auth,
                535,
                "5.7.8",
                "Username and Password not accepted",
                .permanent,
                .provider,
                .authenticationFailed
            ),
            Row(.auth, 534, "5.7.9", "Application-specific password", .permanent, .provider, .authenticationFailed),
            Row(.auth, 534, "5.7.14", "Please log in via your web", .permanent, .provider, .authenticationFailed),
            Row(.mail, 530, "5.7.0", "Must issue a STARTTLS command first", .permanent, .provider, .misconfigured),
            Row(.mail, 530, "5.7.0", "Authentication Required", .permanent, .provider, .misconfigured),
            Row(
                .auth,
                454,
                "4.7.0",
                "Too many login attempts, please try again later",
                .transient,
                .provider,
                .rateLimited,
                retryAfter: .seconds(600)
            ),
            Row(
                .auth,
                454,
                "4.7.0",
                "Cannot authenticate due to temporary",
                .transient,
                .provider,
                .serviceUnavailable
            ),
            Row(.greeting, 421, "4.7.0", "Temporary System Problem", .transient, .provider, .serviceUnavailable),
            Row(.ehlo, 421, "4.7.0", "Try again later, closing connection", .transient, .provider, .serviceUnavailable),
            Row(.mail, 421, "4.7.0", "unusual rate of unsolicited mail", .transient, .provider, .rateLimited),
            Row(.mail, 451, "4.3.0", "busy", .transient, .provider, .serviceUnavailable),
            Row(.rcpt, 450, "4.2.1", "Peak SMTP relay limit exceeded", .transient, .provider, .rateLimited),
            Row(
                .commit,
                550,
                "5.4.5",
                "Daily user sending limit exceeded",
                .transient,
                .provider,
                .quotaExceeded,
                retryAfter: .seconds(86_400)
            ),
            Row(
                .commit,
                550,
                "5.7.1",
                "Daily SMTP relay limit exceeded for customer",
                .transient,
                .provider,
                .quotaExceeded,
                retryAfter: .seconds(86_400)
            ),
            Row(.mail, 550, "5.7.1", "Invalid credentials for relay", .permanent, .provider, .misconfigured),
            Row(.mail, 550, "5.7.0", "Mail relay denied", .permanent, .provider, .misconfigured),
            Row(.rcpt, 554, "5.7.1", "Relay access denied", .permanent, .provider, .misconfigured),
            Row(.commit, 552, "5.3.4", "message exceeds size", .permanent, .capability, .tooLarge),
            Row(.mail, 552, "5.2.3", "message exceeds size", .permanent, .capability, .tooLarge),
            Row(.commit, 552, "5.7.0", "blocked content", .permanent, .message, .contentRefused),
            Row(.rcpt, 452, "4.5.3", "too many recipients", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 552, "", "Too many recipients", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 552, "5.5.3", "too many", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 550, "5.5.3", "too many", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 552, "5.2.2", "mailbox full", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 550, "5.1.1", "no such user", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 550, "5.2.1", "disabled", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 452, "4.2.2", "over quota", .transient, .recipient, .recipientDeferred),
            // A mailbox of the relay's own, or one that it asked for.
            Row(.rcpt, 550, "5.2.1", "<x@y.test>: account is disabled", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 550, "", "<x@y.test>: account disabled", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 554, "5.7.1", "Recipient: account disabled", .permanent, .recipient, .recipientRefused),
            Row(.rcpt, 452, "4.2.2", "mailbox size limit exceeded", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 452, "", "mailbox size limit exceeded", .transient, .recipient, .recipientDeferred),
            Row(.rcpt, 550, "5.1.1", "<\"relay denied\"@y.test>", .permanent, .recipient, .recipientRefused),
            Row(.commit, 550, "5.2.1", "account is disabled", .permanent, .recipient, .recipientRefused),
            Row(.commit, 452, "4.2.2", "mailbox size limit exceeded", .transient, .message, .serviceUnavailable),
            // Ours.
            Row(.auth, 525, "5.7.13", "account is disabled", .permanent, .provider, .accountSuspended),
            Row(.mail, 550, "5.2.1", "your account is suspended", .permanent, .provider, .accountSuspended),
            Row(.rcpt, 550, "5.7.1", "account suspended", .permanent, .provider, .accountSuspended),
            Row(.commit, 550, "5.7.1", "account is suspended", .permanent, .provider, .accountSuspended),
            Row(.rcpt, 451, "4.7.1", "limit exceeded", .transient, .provider, .rateLimited),
            Row(.mail, 555, "5.5.2", "Syntax error", .permanent, .capability, .protocolError),
            Row(.mail, 553, "5.7.1", "Sender address rejected", .permanent, .sender, .senderNotVerified),
            Row(.commit, 550, "5.1.1", "no such user", .permanent, .recipient, .recipientRefused),
            Row(.commit, 451, "4.3.0", "disk", .transient, .message, .serviceUnavailable),
        ]
    )
    func replies(_ row: Row) {
        let failure = FailureTable.failure(.init(row.stage, .reply(row.reply)), host: "smtp")
        #expect(failure.persistence == row.persistence)
        #expect(failure.scope == row.scope)
        #expect(failure.reason == row.reason)
        #expect(failure.retryAfter == row.retryAfter)
        #expect(failure.isWaitGuessed == (row.retryAfter == .seconds(600)))
        #expect(failure.status.statusClass == (row.persistence == .permanent ? 5 : 4))
    }

    @Test("of a reply without end the record keeps as much as a person reads")
    func longReply() {
        let reply = Reply(550, nil, lines: Array(repeating: String(repeating: "x", count: 80), count: 100))
        let failure = FailureTable.failure(.init(.mail, .reply(reply)), host: "smtp")
        #expect(failure.text.count == 1_000)
    }

    struct Event: Sendable {
        var seen: ClientFailure
        var persistence: Failure.Persistence
        var scope: Failure.Scope
        var reason: Failure.Reason
    }

    @Test(
        "what happens to a connection closes the way out and not the message",
        arguments: [
            Event(
                seen: .init(.connect, .notConnected("x")),
                persistence: .transient,
                scope: .provider,
                reason: .connectionFailed
            ),
            Event(seen: .init(.auth, .timeout), persistence: .transient, scope: .provider, reason: .timeout),
            Event(seen: .init(.tls, .tls("x")), persistence: .transient, scope: .provider, reason: .tlsFailed),
            Event(
                seen: .init(.tls, .notOffered("STARTTLS")),
                persistence: .transient,
                scope: .provider,
                reason: .tlsFailed
            ),
            Event(
                seen: .init(.auth, .notOffered("AUTH PLAIN")),
                persistence: .permanent,
                scope: .provider,
                reason: .misconfigured
            ),
            Event(
                seen: .init(.commit, .lost("x"), mayHaveBeenAccepted: true),
                persistence: .ambiguous,
                scope: .provider,
                reason: .noAnswer
            ),
        ]
    )
    func events(_ event: Event) {
        let failure = FailureTable.failure(event.seen, host: "smtp")
        #expect(failure.persistence == event.persistence)
        #expect(failure.scope == event.scope)
        #expect(failure.reason == event.reason)
    }
}
