import Delivery
import MailModel
import SMTPProtocol
import Testing

@testable import DirectMX

@Suite("What is held against us, and what against the mail")
struct StandingTests {
    /// A stage, and a reply as servers out there write it.
    struct Said: Sendable, CustomTestStringConvertible {
        var stage: ClientStage
        var line: String

        init(_ stage: ClientStage, _ line: String) {
            self.stage = stage
            self.line = line
        }

        var testDescription: String {
            "\(self.stage): \(self.line)"
        }

        var reply: Reply {
            let words = self.line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
            let status = EnhancedStatusCode(words[1])
            let text = status == nil ? words.dropFirst().joined(separator: " ") : words[2]
            return Reply(UInt16(words[0]) ?? 0, status, text)
        }
    }

    static let blockLists: [Said] = [
        "554 5.7.1 Service unavailable; Client host [198.51.100.2] blocked using zen.spamhaus.org; "
            + "https://www.spamhaus.org/query/ip/198.51.100.2",
        "554 5.7.1 Service unavailable; Client host [198.51.100.2] blocked using Barracuda Reputation; "
            + "http://www.barracudanetworks.com/reputation/?r=1&ip=198.51.100.2",
        "550 5.7.1 Mail from 198.51.100.2 was rejected: listed at b.barracudacentral.org",
        "554 5.7.1 Service unavailable; Client host [198.51.100.2] blocked using bl.spamcop.net; Blocked - see spamcop",
        "554 5.7.1 Rejected: 198.51.100.2 listed at dnsbl.sorbs.net",
        "550 rejected because 198.51.100.2 is in a black list at dnsbl-1.uceprotect.net",
        "550 UCEPROTECT: your IP is listed, see http://www.uceprotect.net",
        "553 5.7.1 [BL21] Connections will not be accepted from 198.51.100.2, because the ip is in Spamhaus's list",
        "550 5.7.1 Recipient not authorized, your IP has been found on a block list, please use https://psbl.org",
        "554 5.7.1 ACL dns_rbl; Client host [198.51.100.2] blocked using truncate.gbudb.net",
        "550 Blocked - see https://ipcheck.proofpoint.com/?ip=198.51.100.2",
        "550 5.7.1 Service unavailable; host blocked by Trend Micro Email Reputation Service",
        "550 JunkMail rejected - gateway [198.51.100.2] is in an RBL: Client host blocked using hostkarma",
        "550 5.7.1 198.51.100.2 is on DBL at mailspike, see https://mailspike.org",
        "554 5.7.1 Your access to this mail system has been rejected due to the sending MTA's poor reputation.",
        "550 SC-001 (COL004-MC1F7) Mail rejected for policy reasons. Reasons may be related to IP reputation.",
        "550 5.7.1 Unfortunately, messages from [198.51.100.2] weren't sent. Part of their network is on our block list",
    ].map { Said(.rcpt, $0) }

    static let hostsAndNames: [Said] = [
        Said(.rcpt, "550 5.7.606 Access denied, banned sending IP [198.51.100.2]"),
        Said(.rcpt, "550 5.7.511 Access denied, banned sender[198.51.100.2]"),
        Said(
            .rcpt,
            "451 4.7.650 The mail server [198.51.100.2] has been temporarily rate limited due to IP reputation."
        ),
        Said(.rcpt, "550 5.7.25 The IP address sending this message does not have a PTR record - gsmtp"),
        Said(.rcpt, "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.2]"),
        Said(.rcpt, "554 5.7.1 <unknown[198.51.100.2]>: Client host rejected: Access denied"),
        Said(.rcpt, "504 5.5.2 <gateway>: Helo command rejected: need fully-qualified hostname"),
        Said(.rcpt, "550 5.7.23 <u@example.com>: Recipient address rejected: Message rejected due to: SPF fail"),
        Said(.rcpt, "550 SPF check failed for app.example"),
        Said(.rcpt, "550 Dynamic IP addresses are not welcome here"),
        Said(.mail, "550 5.7.1 Access denied"),
        Said(.mail, "550 5.7.0 Local policy violation"),
        Said(.greeting, "554 mx.example.com"),
        Said(.greeting, "554 5.7.1 blocked"),
        Said(.greeting, "550 IP=198.51.100.2 - A problem occurred. Ask your postmaster for help."),
        Said(.ehlo, "550 5.7.1 go away"),
        Said(.commit, "550 5.7.26 This mail has been blocked because the sender is unauthenticated. - gsmtp"),
        Said(.commit, "554 5.7.9 Message not accepted for policy reasons."),
        Said(.commit, "550 5.7.515 Access denied, sending domain app.example does not meet the required level"),
        Said(.commit, "550 5.7.1 Unauthenticated email from app.example is not accepted due to domain's DMARC policy."),
        Said(.commit, "421 4.7.28 Gmail has detected an unusual rate of mail from your IP address. - gsmtp"),
        Said(.commit, "554 5.7.1 Message rejected: 198.51.100.2 is blacklisted"),
    ]

    @Test(
        "block lists by name, reputation, our host name and our authentication are about us",
        arguments: blockLists + hostsAndNames
    )
    func againstUs(_ said: Said) {
        #expect(Standing.isAgainstUs(said.reply, at: said.stage))
        let failure = FailureTable.failure(ClientFailure(said.stage, .reply(said.reply)), host: "mx")
        #expect(failure.persistence == .transient)
        #expect(failure.scope == .destination)
        #expect(failure.reason == .policyRefused)
    }

    @Test(
        "what is said of recipient or content is not about us, whatever it is called",
        arguments: [
            Said(.rcpt, "550 5.1.1 <spamhaus@example.com>: Recipient address rejected: User unknown"),
            Said(.rcpt, "550 unknown user <reputation@spamcop.net>"),
            Said(.rcpt, "550 5.1.1 no mailbox for blacklist"),
            Said(.rcpt, "552 5.2.2 mailbox of barracuda is full"),
            Said(.rcpt, "550 5.4.1 Recipient address rejected: Access denied."),
            Said(.rcpt, "554 5.7.1 <a@example.com>: Relay access denied"),
            Said(.rcpt, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup"),
            Said(.rcpt, "450 4.7.1 <a@example.com>: Recipient address rejected: Greylisted, try again"),
            Said(.rcpt, "451 Greylisting in action for 198.51.100.2, please come back later"),
            Said(.rcpt, "550 this verbl is no word"),
            Said(.commit, "554 5.7.1 Message contains a URL listed in dbl.spamhaus.org"),
            Said(.commit, "550 5.7.1 blocked by SURBL"),
            Said(.commit, "552 5.7.0 This message was blocked because its content presents a potential security issue"),
            Said(.commit, "554 5.7.1 message contains a virus"),
            Said(.commit, "550 5.7.520 Access denied, Your organization does not allow external forwarding."),
            Said(.commit, "250 2.0.0 queued, your IP address is fine"),
        ]
    )
    func againstTheMail(_ said: Said) {
        #expect(!Standing.isAgainstUs(said.reply, at: said.stage))
    }

    @Test(
        "a sender that is refused goes another way, and bounces when there is none",
        arguments: [
            Said(.mail, "553 5.1.8 domain of sender address does not exist"),
            Said(.mail, "550 5.1.7 bad sender"),
            Said(.rcpt, "553 5.1.8 <a@app.example>: Sender address rejected: Domain not found"),
            Said(.rcpt, "550 <a@app.example>: Sender address rejected: undeliverable address"),
        ]
    )
    func againstSender(_ said: Said) {
        let failure = FailureTable.failure(ClientFailure(said.stage, .reply(said.reply)), host: "mx")
        #expect(failure.persistence == .permanent)
        #expect(failure.scope == .capability)
        #expect(failure.reason == .senderNotVerified)
    }

    @Test("what a server writes is kept at a length that people read")
    func clips() {
        let reply = Reply(550, nil, lines: Array(repeating: String(repeating: "x", count: 500), count: 30))
        #expect(FailureTable.failure(ClientFailure(.rcpt, .reply(reply)), host: "mx").text.count == 1_000)
    }
}
