import DNSProtocol
import Delivery
import MailModel
import Synchronization
import TestKit
import Testing

@testable import SQLiteStore

@Suite("A clock that jumped")
struct ClockJumpTests {
    struct Jump: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// By how many hours the civil clock had jumped when the last run ended.
        let during: Int64
        /// By how many hours it stands differently at the next start.
        let since: Int64
        /// How far due times and expiry must move.
        let shift: Int64
    }

    let fixture: StoreFixture

    init() throws {
        self.fixture = try StoreFixture()
    }

    @Test(
        "moves what is due along at the next start, once",
        arguments: [
            Jump(testDescription: "not at all", during: 0, since: 0, shift: 0),
            Jump(testDescription: "forward while it ran", during: 24, since: 24, shift: 24),
            Jump(testDescription: "back while it ran", during: -24, since: -24, shift: -24),
            Jump(testDescription: "back while it was stopped", during: 0, since: -24, shift: -24),
            Jump(testDescription: "forward and back again", during: 24, since: 0, shift: 0),
            Jump(testDescription: "or it was stopped for a day", during: 0, since: 24, shift: 0),
        ]
    )
    func moves(_ jump: Jump) async throws {
        let dueAt = SampleQueue.moment + .seconds(600)
        let clock = Clock(civil: SampleQueue.moment)
        let running = try self.fixture.open { $0.clock = { clock.time } }
        try await running.enqueue(SampleQueue.new(1))
        _ = try await running.leaseDue(at: SampleQueue.moment, limit: 1)
        clock.jump(to: SampleQueue.moment + .seconds(jump.during * 3_600))
        try await running.release(SampleQueue.id(1), recipients: [0], dueAt: dueAt)
        await running.close()

        let start = SampleQueue.moment + .seconds(jump.since * 3_600)
        for _ in 1...2 {
            let next = try self.fixture.open { $0.clock = { StoreTime(steady: start, civil: start) } }
            #expect(try await next.nextDue() == dueAt + .seconds(jump.shift * 3_600))
            await next.close()
        }
        let last = try self.fixture.open { $0.clock = { StoreTime(steady: start, civil: start) } }
        let leased = try #require(try await last.lease(SampleQueue.id(1)))
        #expect(leased.message.expiresAt == SampleQueue.moment + .seconds(86_400 + jump.shift * 3_600))
        await last.close()
    }

    @Test(
        "leaves nothing behind in the future, unless it is now that the clock is wrong",
        arguments: [SampleQueue.moment + .seconds(3_600), Timestamp(seconds: 86_400)]
    )
    func future(_ start: Timestamp) async throws {
        let wrong = SampleQueue.moment + .seconds(10 * 365 * 86_400)
        let store = try self.fixture.open { $0.clock = { StoreTime(steady: wrong, civil: wrong) } }
        try await store.enqueue(SampleQueue.new(1))
        var result = SampleQueue.delivered(SampleQueue.start(1, of: 1))
        result.finishedAt = wrong
        try await store.finish(result)
        let answer = ArchivedAnswer(question: "MX example.net", message: [1], receivedAt: wrong, source: "1.1.1.1")
        store.remember(answer)
        store.keep(
            KeptPolicy(domain: "example.net", id: "1", text: "", fetchedAt: wrong, expiresAt: wrong + .seconds(60))
        )
        store.keep(ClearTextHost(host: "mx.example.net", address: .v4(1), until: wrong, reason: "no TLS"))
        let counted = TLSResult(domain: "example.net", policy: .sts, kind: .success)
        store.count(counted, at: start)
        store.count(counted, at: wrong)
        store.count(TLSResult(domain: "example.com", policy: .sts, kind: .success), at: wrong)
        await store.close()

        let next = try self.fixture.open { $0.clock = { StoreTime(steady: start, civil: start) } }
        let isRight = start > SampleQueue.moment
        let moment = isRight ? start : wrong
        #expect(try await next.message(SampleQueue.id(1))?.finishedAt == moment)
        #expect(await next.recall("MX example.net")?.receivedAt == moment)
        #expect(await next.stsPolicy(of: "example.net")?.fetchedAt == moment)
        #expect(await next.stsPolicy(of: "example.net")?.expiresAt == moment + .seconds(60))
        #expect(await next.clearTextHosts(at: start).count == (isRight ? 0 : 1))
        let days = try await next.readers.tlsResults(since: 0, limit: 9).map(\.day)
        #expect(days == (isRight ? [start.day, start.day] : [start.day, wrong.day, wrong.day]))
        await next.close()
    }
}

/// A civil clock that is set by hand beside one that stands still.
private final class Clock: Sendable {
    private let civil: Mutex<Timestamp>

    init(civil: Timestamp) {
        self.civil = Mutex(civil)
    }

    var time: StoreTime {
        StoreTime(steady: SampleQueue.moment, civil: self.civil.withLock { $0 })
    }

    func jump(to civil: Timestamp) {
        self.civil.withLock { $0 = civil }
    }
}
