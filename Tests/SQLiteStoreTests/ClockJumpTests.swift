import Delivery
import MailModel
import SQLiteStore
import Synchronization
import TestKit
import Testing

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
