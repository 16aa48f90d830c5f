import Delivery
import FoundationEssentials
import MailModel
import TestKit
import Testing

@testable import Gateway

@Suite("Tables")
struct TableTests {
    @Test("the queue is listed one line a recipient, with columns that line up and a line that counts")
    func listsTheQueue() {
        let recipients = [
            SampleHistory.recipient(
                0,
                "a@example.net",
                .waiting,
                dueAt: SampleHistory.now + .seconds(600),
                because: "4.2.1 busy"
            ),
            SampleHistory.recipient(1, "longer.name@example.net", .held),
            SampleHistory.delivered,
            SampleHistory.recipient(3, "b@example.net", .waiting),
        ]
        var report = SampleHistory.message(recipients: [SampleHistory.recipient(0, "app@example.org", .active)])
        report.id = SampleQueue.id(2)
        report.reversePath = ""
        report.size = 3_500_000
        report.arrivedAt = SampleHistory.now + .seconds(-5)
        let expected = """
            ID            AGE        SIZE  FROM             TO                       STATE
            \(SampleQueue.id(1))  30 min  1.2 KiB  app@example.org  a@example.net            waiting, due in 10 min; 4.2.1 busy
            \(SampleQueue.id(1))  30 min  1.2 KiB  app@example.org  longer.name@example.net  held
            \(SampleQueue.id(1))  30 min  1.2 KiB  app@example.org  user@example.net         delivered by gmail
            \(SampleQueue.id(1))  30 min  1.2 KiB  app@example.org  b@example.net            waiting, due now
            \(SampleQueue.id(2))  5.0 s   3.3 MiB  <>               app@example.org          active
            2 messages, 3.3 MiB
            """
        let messages = [SampleHistory.message(recipients: recipients), report]
        let text = QueueRenderer(now: SampleHistory.now).render(messages, of: MessageCount(messages: 2))
        #expect(text == expected)
    }

    @Test("a list that is cut says so, and counts all that there is")
    func saysThatItIsCut() {
        let oldest = SampleHistory.now + .seconds(-259_200)
        let count = MessageCount(messages: 1_125, octets: 3_500_000, oldestArrival: oldest)
        let text = QueueRenderer(now: SampleHistory.now).render([SampleHistory.message()], of: count)
        let told = "the newest 1 of 1125 messages, 3.3 MiB in all, the oldest 3 d old; --limit shows more"
        #expect(text.split(separator: "\n").last.map(String.init) == told)
    }

    @Test("an empty queue is said to be empty")
    func saysThatItIsEmpty() {
        #expect(QueueRenderer(now: SampleHistory.now).render([], of: MessageCount()) == "The queue is empty.")
    }

    @Test("nothing that a peer wrote reaches the terminal as a control, or begins a line")
    func disarmsPeers() {
        var message = SampleHistory.message(
            recipients: [SampleHistory.recipient(0, "a\u{1B}c@example.net", .waiting, because: SampleHistory.hostile)]
        )
        message.reversePath = "\u{9B}31m\n@example.org"
        let text = QueueRenderer(now: SampleHistory.now).render([message], of: MessageCount(messages: 1))
        #expect(text.controls.isEmpty, "\(text.debugDescription)")
        #expect(text.split(separator: "\n").count == 3)
    }

    @Test("what takes two columns on a terminal counts for two")
    func countsColumns() {
        var table = TextTable(rightAligned: [1])
        table.add("TO", "N", "STATE")
        table.add("用户@例え.jp", "1", "held")
        table.add("cafe\u{301}@x.jp", "10", "held")
        table.add("｡ｱ@x.jp", "100", "held")
        table.add("👩‍👩‍👧@x.jp", "7", "held")
        let expected = """
            TO              N  STATE
            用户@例え.jp    1  held
            cafe\u{301}@x.jp      10  held
            ｡ｱ@x.jp       100  held
            👩‍👩‍👧@x.jp         7  held
            """
        #expect(table.text == expected)
    }

    @Test("a table without rows is empty, and rows may be short")
    func takesOddShapes() {
        #expect(TextTable().text.isEmpty)
        var table = TextTable()
        table.add("a", "b", "c")
        table.add("long")
        table.add("x", "long")
        #expect(table.text == "a     b     c\nlong\nx     long")
    }

    @Test("what the DNS sources say stands side by side, and their texts are disarmed")
    func showsLookups() throws {
        let reports = [
            try self.lookup("127.0.0.11", "udp", "REFUSED", [], nil, 1, false),
            try self.lookup(
                "8.8.8.8",
                "tcp",
                "NOERROR",
                ["10 mx1.example.net", "20 a", "30 b", "40 c", "50 d"],
                300,
                12,
                true
            ),
            try self.lookup("1.1.1.1", "udp", "no \u{1B}[31manswer", ["10 mx\u{9B}2J"], 5, 1_500, false),
        ]
        let expected = """
            TYPE  SOURCE            RESULT          FLAGS  TTL    MS  RECORDS
            MX    127.0.0.11 (udp)  REFUSED         -      -       1  \("")
            MX    8.8.8.8 (tcp)     NOERROR         ra ad  300    12  10 mx1.example.net, 20 a, 30 b, 40 c, and 1 more
            MX    1.1.1.1 (udp)     no ?[31manswer  -      5    1500  10 mx?2J
            """
        #expect(LookupReport.table(reports) == expected)
    }

    @Test(
        "sizes and spans are short",
        arguments: [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (26_214_400, "25.0 MiB"), (1 << 31, "2.0 GiB")]
    )
    func writesSizes(_ octets: Int, _ expected: String) {
        #expect(humanSize(octets) == expected)
    }

    @Test(
        "spans are short",
        arguments: [
            (-5, "0 ms"), (199, "199 ms"), (200, "0.2 s"), (9_999, "9.9 s"), (10_000, "10 s"), (120_000, "2 min"),
            (7_200_000, "2 h"), (172_800_000, "2 d"),
        ]
    )
    func writesSpans(_ milliseconds: Int, _ expected: String) {
        #expect(humanDuration(.milliseconds(milliseconds)) == expected)
    }

    /// What a source said, as it comes through the control socket.
    private func lookup(
        _ source: String,
        _ transport: String,
        _ result: String,
        _ records: [String],
        _ timeToLive: UInt32?,
        _ milliseconds: Int64,
        _ isAuthenticated: Bool
    ) throws -> LookupReport {
        let sent = Sent(
            source: source,
            transport: transport,
            result: result,
            isAuthenticated: isAuthenticated,
            flags: isAuthenticated ? "ra ad" : "",
            records: records,
            timeToLive: timeToLive,
            milliseconds: milliseconds
        )
        return try JSONDecoder().decode(LookupReport.self, from: JSONEncoder().encode(sent))
    }

    private struct Sent: Encodable {
        var type = "MX"
        let source, transport, result: String
        let isAuthenticated: Bool
        let flags: String
        let records: [String]
        let timeToLive: UInt32?
        let milliseconds: Int64
    }
}
