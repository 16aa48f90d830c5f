import MailModel
import Testing

@Suite("The words of mail")
struct MailModelTests {
    @Test(
        "addresses are written in their canonical form (RFC 5952)",
        arguments: [
            ("192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::", "::"), ("::1", "::1"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("fe80::", "fe80::"),
        ]
    )
    func readsAddresses(_ text: String, _ canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
        #expect(IPAddress(text).flatMap { IPAddress(octets: $0.octets) } == IPAddress(text))
    }

    @Test(
        "what is no address is not read",
        arguments: [
            "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", ":", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9",
        ]
    )
    func refusesAddresses(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(
        "blocks contain what lies in them",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("0.0.0.0/0", "1.2.3.4", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("fc00::/7", "fd12::1", true), ("::1", "::1", true),
            ("::1", "::2", false), ("2001:db8::/65", "2001:db8::8000:0:0:0", false), ("::/0", "1.2.3.4", false),
        ]
    )
    func contains(_ block: String, _ address: String, _ expected: Bool) throws {
        let found = try #require(CIDRBlock(block)).contains(try #require(IPAddress(address)))
        #expect(found == expected)
    }

    @Test(
        "blocks of a wrong length are not read",
        arguments: ["10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/", "x/8"]
    )
    func refusesBlocks(_ text: String) {
        #expect(CIDRBlock(text) == nil)
    }

    @Test(
        "moments are written as dates (RFC 3339, RFC 5322 §3.3)",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 +0000"),
            (-1, "1969-12-31T23:59:59.000Z", "Wed, 31 Dec 1969 23:59:59 +0000"),
            (1_795_515_423, "2026-11-24T10:17:03.000Z", "Tue, 24 Nov 2026 10:17:03 +0000"),
        ]
    )
    func writesMoments(_ seconds: Int64, _ text: String, _ date: String) {
        #expect(Timestamp(seconds: seconds).description == text)
        #expect(Timestamp(seconds: seconds).messageDate == date)
    }

    @Test("queue identifiers read back, in either case, and sort as their numbers do")
    func queueIDs() {
        let first = QueueID.first(at: Timestamp(seconds: 1_795_515_423))
        #expect(QueueID(first.description) == first)
        #expect(QueueID(first.description.lowercased()) == first)
        #expect(first < first.next && first.description < first.next.description)
        #expect(QueueID("short") == nil && QueueID("UUUUUUUUUUUU") == nil)
    }

    @Test(
        "enhanced status codes are strict (RFC 3463)",
        arguments: [
            ("5.1.1", true), ("2.0.0", true), ("4.999.999", true), ("3.0.0", false), ("5.01.1", false), ("5.1", false),
            ("5.1000.1", false), ("5.1.x", false), ("", false),
        ]
    )
    func statusCodes(_ text: String, _ isValid: Bool) {
        #expect((EnhancedStatusCode(text)?.description == text) == isValid)
    }
}
