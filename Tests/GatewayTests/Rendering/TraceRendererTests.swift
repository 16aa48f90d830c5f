import Delivery
import Gateway
import MailModel
import TestKit
import Testing

@Suite("The trace of a message")
struct TraceRendererTests {
    private func render(_ message: MessageRecord, colours: Bool = false) -> String {
        TraceRenderer(usesColours: colours, now: SampleHistory.now).render(message)
    }

    @Test("tells the whole story, each move with its reason")
    func tellsTheStory() {
        let message = SampleHistory.message(attempts: [SampleHistory.unresolved, SampleHistory.accepted])
        let expected = """
            \(SampleQueue.id(1))  <app@example.org>  "確認コード"  1.2 KiB  from 172.18.0.5 on 2026-11-24 at 10:17:03.000
              Message-ID <1@app.example.org>
              user@example.net   delivered in 0.9 s by gmail (2 attempts)
              10:17:03.011  direct  MX example.net: 127.0.0.11 REFUSED 1 ms, 8.8.8.8 no answer 300 ms
                                    4.4.3 no DNS source could answer (transient/destination/resolve)
                                    moved on to gmail: no DNS source could answer
              10:17:03.329  gmail  left smtp.gmail.com[2001:db8::1]:587: network unreachable
                                   smtp.gmail.com [142.250.102.108:587], TLSv1.3 verified, AUTH PLAIN
                                   connect 40, tls 61, data 210 ms
                                   250 2.0.0 OK 1732356423 gsmtp
            """
        #expect(self.render(message) == expected)
    }

    @Test("names the recipients where there are several, and says where each one stands")
    func tellsWhereEachStands() {
        let recipients = [
            SampleHistory.recipient(
                0,
                "a@example.net",
                .waiting,
                dueAt: SampleHistory.now + .seconds(300),
                because: "4.2.1 busy"
            ),
            SampleHistory.recipient(1, "b@example.net", .waiting, dueAt: SampleHistory.now),
            SampleHistory.recipient(2, "c@example.net", .active),
            SampleHistory.recipient(3, "d@example.net", .held),
            SampleHistory.recipient(4, "e@example.net", .bounced, because: "5.1.1 no such user"),
            SampleHistory.recipient(5, "f@example.net", .expired, because: "4.4.1 refused"),
            SampleHistory.recipient(6, "g@example.net", .deleted),
        ]
        var attempt = SampleHistory.unresolved
        attempt.evidence.resolution = []
        attempt.finishedAt = nil
        attempt.move = ""
        let lines = self.render(SampleHistory.message(recipients: recipients, attempts: [attempt])).split(
            separator: "\n"
        )
        let expected = [
            "  a@example.net   waiting, next attempt in 5 min: 4.2.1 busy",
            "  b@example.net   waiting, due now",
            "  c@example.net   being delivered",
            "  d@example.net   held",
            "  e@example.net   bounced: 5.1.1 no such user",
            "  f@example.net   expired: 4.4.1 refused",
            "  g@example.net   deleted by an operator",
            "  10:17:03.011  direct  a@example.net: 4.4.3 no DNS source could answer (transient/destination/resolve)",
            "                        no end is recorded: it runs now, or the gateway died while it ran",
        ]
        #expect(lines.dropFirst(2).map(String.init) == expected)
    }

    @Test("nothing that a peer or a sender wrote reaches the terminal as a control")
    func disarmsPeers() {
        var recipient = SampleHistory.recipient(0, "a\u{1B}[1m@example.net", .bounced, because: SampleHistory.hostile)
        recipient.provider = "gmail"
        var message = SampleHistory.message(
            subject: "hi\u{1B}]0;title\u{07}\n\u{85}next",
            recipients: [recipient],
            attempts: [SampleHistory.refused]
        )
        message.reversePath = "app\u{08}@example.org"
        message.messageID = "<1\u{1B}c@x>"
        let text = self.render(message)
        #expect(text.controls.isEmpty, "\(text.debugDescription)")
        #expect(text.contains("\"hi?]0;title???next\""))
        #expect(text.contains("550 5.1.1 ?[2Jgone?]0;root???fake?31m??txt (permanent/recipient/rcpt)"))
        #expect(text.split(separator: "\n").count == 9)
    }

    @Test("colours only where they were asked for, and each is switched off again")
    func coloursOnDemand() {
        let message = SampleHistory.message(attempts: [SampleHistory.unresolved, SampleHistory.accepted])
        let coloured = self.render(message, colours: true)
        #expect(coloured.contains("\u{1B}[32mdelivered in 0.9 s by gmail\u{1B}[0m (2 attempts)"))
        let plain = ["1", "31", "32", "33", "0"].reduce(coloured) { text, code in
            text.split(separator: "\u{1B}[\(code)m", omittingEmptySubsequences: false).joined()
        }
        #expect(plain == self.render(message))
    }

    @Test("a report of the gateway's own has no sender and no client")
    func tellsOfReports() {
        var message = SampleHistory.message()
        message.reversePath = ""
        message.submission = SubmissionRecord(listener: "gateway")
        let expected = "\(SampleQueue.id(1))  <>  \"確認コード\"  1.2 KiB  by the gateway itself on 2026-11-24 at "
        #expect(self.render(message).hasPrefix(expected))
    }
}
