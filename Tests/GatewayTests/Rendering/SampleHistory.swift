import Delivery
import MailModel
import TestKit

/// One message with a history of everything that a renderer may have to tell.
enum SampleHistory {
    static let arrival = SampleQueue.moment
    /// Half an hour after the arrival.
    static let now = Self.arrival + .seconds(1_800)
    /// What a hostile next hop may write: clear the screen, a title, a bell, C1, line ends, right-to-left.
    static let hostile = "550 5.1.1 \u{1B}[2Jgone\u{1B}]0;root\u{07}\r\nfake\u{9B}31m\u{7F}\u{202E}txt"

    static func message(
        subject: String = "確認コード",
        recipients: [RecipientRecord] = [Self.delivered],
        attempts: [AttemptRecord] = []
    ) -> MessageRecord {
        MessageRecord(
            id: SampleQueue.id(1),
            reversePath: "app@example.org",
            messageID: "<1@app.example.org>",
            subject: subject,
            size: 1_290,
            submission: SubmissionRecord(
                listener: "smtp",
                clientAddress: IPAddress("172.18.0.5"),
                clientName: "app",
                user: "django"
            ),
            arrivedAt: self.arrival,
            expiresAt: self.arrival + .seconds(86_400),
            finishedAt: nil,
            recipients: recipients,
            attempts: attempts
        )
    }

    static let delivered = RecipientRecord(
        number: 0,
        mailbox: "user@example.net",
        state: .delivered,
        dueAt: nil,
        finishedAt: Self.arrival + .milliseconds(940),
        attempts: 2,
        provider: "gmail",
        lastFailure: nil
    )

    static func recipient(
        _ number: Int,
        _ mailbox: String,
        _ state: RecipientRecord.State,
        dueAt: Timestamp? = nil,
        because failure: String? = nil
    ) -> RecipientRecord {
        RecipientRecord(
            number: number,
            mailbox: mailbox,
            state: state,
            dueAt: dueAt,
            finishedAt: nil,
            attempts: 1,
            provider: nil,
            lastFailure: failure
        )
    }

    /// `direct` could not resolve the domain.
    static var unresolved: AttemptRecord {
        var evidence = AttemptEvidence()
        evidence.resolution = ["MX example.net: 127.0.0.11 REFUSED 1 ms, 8.8.8.8 no answer 300 ms"]
        return AttemptRecord(
            id: 1,
            provider: "direct",
            startedAt: self.arrival + .milliseconds(11),
            finishedAt: self.arrival + .milliseconds(320),
            recipients: [0],
            outcomes: [
                .init(
                    recipient: 0,
                    delivered: false,
                    text: "no DNS source could answer",
                    status: "4.4.3",
                    persistence: .transient,
                    scope: .destination,
                    stage: .resolve,
                    reason: .dnsUnavailable
                )
            ],
            providerMessageID: nil,
            evidence: evidence,
            move: "moved on to gmail: no DNS source could answer"
        )
    }

    /// `gmail` took it at its second host.
    static var accepted: AttemptRecord {
        var evidence = AttemptEvidence(remoteHost: "smtp.gmail.com", remoteAddress: "142.250.102.108:587")
        evidence.tls = "TLSv1.3 verified"
        evidence.authentication = "PLAIN"
        evidence.abandonedHosts = ["smtp.gmail.com[2001:db8::1]:587: network unreachable"]
        evidence.timings = [
            .init(stage: .connect, milliseconds: 40), .init(stage: .tls, milliseconds: 61),
            .init(stage: .data, milliseconds: 210),
        ]
        return AttemptRecord(
            id: 2,
            provider: "gmail",
            startedAt: self.arrival + .milliseconds(329),
            finishedAt: self.arrival + .milliseconds(940),
            recipients: [0],
            outcomes: [
                .init(recipient: 0, delivered: true, text: "250 2.0.0 OK 1732356423 gsmtp", status: "2.0.0")
            ],
            providerMessageID: "1732356423",
            evidence: evidence,
            move: "delivered"
        )
    }

    /// A next hop that says the hostile text.
    static var refused: AttemptRecord {
        var attempt = self.accepted
        attempt.outcomes = [
            .init(
                recipient: 0,
                delivered: false,
                text: self.hostile,
                status: "5.1.1",
                persistence: .permanent,
                scope: .recipient,
                stage: .rcpt,
                reason: .recipientRefused
            )
        ]
        attempt.evidence.remoteHost = "mx\u{1B}[7m.example.net"
        attempt.evidence.resolution = ["MX \u{1B}c"]
        attempt.evidence.abandonedHosts = ["mx\u{9D}0;x\u{9C}"]
        attempt.move = "bounced: \(self.hostile)"
        return attempt
    }
}

extension String {
    /// Scalars that can make a terminal do something, line ends of ours apart.
    var controls: [Unicode.Scalar] {
        self.unicodeScalars.filter {
            ($0.value < 0x20 && $0 != "\n") || (0x7F...0x9F).contains($0.value) || (0x202A...0x202E).contains($0.value)
                || (0x2066...0x2069).contains($0.value)
        }
    }
}
