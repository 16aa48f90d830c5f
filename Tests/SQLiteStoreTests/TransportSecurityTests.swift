import Delivery
import MailModel
import SQLiteStore
import Testing

@testable import SQLiteStore

@Suite("What the store remembers of TLS")
struct TransportSecurityTests {
    private let fixture: StoreFixture
    private let now = Timestamp(seconds: 1_800_000_000)

    init() throws {
        self.fixture = try StoreFixture()
    }

    /// A store that is opened later than all that happens here.
    private func open() throws -> MessageStore {
        let later = self.now + .seconds(7 * 86_400)
        return try self.fixture.open { $0.clock = { StoreTime(steady: later, civil: later) } }
    }

    private func policy(_ id: String, _ text: String = "version: STSv1") -> KeptPolicy {
        KeptPolicy(domain: "example.com", id: id, text: text, fetchedAt: self.now, expiresAt: self.now + .seconds(60))
    }

    @Test("keeps MTA-STS policies and hosts without TLS across a restart, the newest of each")
    func keeps() async throws {
        let host = ClearTextHost(
            host: "mx.example.com",
            address: .v4(0xC000_0201),
            until: self.now + .seconds(60),
            reason: "no TLS"
        )
        let store = try self.open()
        store.keep(self.policy("a1"))
        store.keep(self.policy("a2"))
        store.keep(self.policy("a3", String(repeating: "x", count: 70_000)))
        store.keep(host)
        await store.close()
        let next = try self.open()
        #expect(await next.stsPolicy(of: "example.com") == self.policy("a2"))
        #expect(await next.stsPolicy(of: "example.net") == nil)
        #expect(await next.clearTextHosts(at: self.now) == [host])
        #expect(await next.clearTextHosts(at: self.now + .seconds(60)) == [])
        await next.close()
    }

    @Test("counts results by domain, day and kind, and forgets them with the history")
    func counts() async throws {
        let store = try self.open()
        let good = TLSResult(domain: "example.com", policy: .sts, exchanger: "mx.example.com", kind: .success)
        var bad = good
        bad.kind = .certificateExpired
        bad.detail = "first"
        store.count(bad, at: self.now)
        bad.detail = "last"
        for result in [good, bad, good] {
            store.count(result, at: self.now)
        }
        store.count(good, at: self.now + .seconds(86_400))
        await store.close()
        let next = try self.open()
        let expected = [
            TLSResultCount(day: self.now.day, result: good, count: 2),
            TLSResultCount(day: self.now.day, result: bad, count: 2),
            TLSResultCount(day: self.now.day + 1, result: good, count: 1),
        ]
        #expect(try await next.readers.tlsResults(since: self.now.day, limit: 10) == expected)
        #expect(try await next.readers.tlsResults(since: self.now.day, limit: 1).count == 1)
        next.keep(self.policy("a1"))
        _ = try await next.purgeFinished(before: self.now + .seconds(86_400), limit: 10)
        #expect(try await next.readers.tlsResults(since: 0, limit: 10) == [expected[2]])
        #expect(await next.stsPolicy(of: "example.com") == nil)
        await next.close()
    }

    @Test("a day of very many hosts is counted by domain, and takes a bounded place")
    func bounded() async throws {
        let store = try self.open()
        let limit = MessageStore.resultsOfOneDay
        for number in 0..<(limit + 500) {
            let host = "mx\(number).example.com"
            store.count(TLSResult(domain: "example.com", policy: .none, exchanger: host, kind: .success), at: self.now)
            if number.isMultiple(of: 500) {
                // Waits for the commit: what comes too fast is left out.
                _ = try await store.purgeFinished(before: Timestamp(seconds: 0), limit: 1)
            }
        }
        _ = try await store.purgeFinished(before: Timestamp(seconds: 0), limit: 1)
        let counts = try await store.readers.tlsResults(since: 0, limit: .max)
        #expect(counts.count == limit + 1)
        #expect(counts.first { $0.result.exchanger.isEmpty }?.count == 500)
        await store.close()
    }
}
