import Delivery
import MailModel
import Synchronization
import TestKit
import Testing

import struct NIOCore.ByteBuffer

@Suite("Memory for content")
struct ContentCapacityTests {
    private let fixture = QueueFixture()

    @Test("a message for whose content there is no room waits without it and goes with it", arguments: [0, 1 << 20])
    func leavesContentInTheStore(_ capacity: Int) async throws {
        let provider = MeasuringProvider()
        let manager = self.fixture.manager([provider], configuration: .init(concurrency: 2, contentCapacity: capacity))
        let ids = (1...20).map { self.fixture.submit(Int64($0), to: ["u@a.test"], manager) }
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == 20 }
        }
        #expect(ids.allSatisfy { self.fixture.states($0) == [.delivered(provider: "measuring")] })
        #expect(provider.sizes == Array(repeating: 17, count: 20))
        #expect(self.fixture.store.contentReads == (capacity == 0 ? 20 : 0))
    }

    @Test("what waited without its content for too long has it when it goes the next way")
    func takesContentAlong() async throws {
        let (direct, provider) = (StallingProvider("direct"), MeasuringProvider())
        let manager = self.fixture.manager(
            [direct, provider],
            configuration: .init(concurrency: 20, contentCapacity: 0)
        )
        try await self.fixture.running(manager) {
            for number in 1...8 {
                _ = self.fixture.submit(Int64(number), to: ["u@silent.test"], manager)
            }
            await direct.waitUntilStalled(5)
            try await eventually {
                self.fixture.clock.advanceToNextWake(within: .seconds(60))
                return provider.sizes.count == 3
            }
            #expect(provider.sizes == [17, 17, 17])
            direct.letGo()
        }
    }

    @Test("content that cannot be read makes the message wait, and opens no way out's breaker")
    func waitsForUnreadableContent() async throws {
        let provider = MeasuringProvider()
        let manager = self.fixture.manager([provider], configuration: .init(concurrency: 2, contentCapacity: 0))
        self.fixture.store.failContent(with: StoreFailure(.missing, "gone"))
        let id = self.fixture.submit(1, to: ["u@a.test"], manager)
        try await self.fixture.running(manager) {
            await self.fixture.store.wait { $0.count == 1 }
        }
        #expect(provider.sizes.isEmpty)
        #expect(manager.openBreakers.isEmpty)
        guard case .waiting = self.fixture.states(id).first else {
            Issue.record("it does not wait: \(self.fixture.states(id))")
            return
        }
    }
}

/// Takes everything and notes how much there was of each message.
private final class MeasuringProvider: Provider {
    let name = "measuring"
    let grouping = RecipientGrouping.together
    private let noted = Mutex<[Int]>([])

    var sizes: [Int] {
        self.noted.withLock { $0 }
    }

    func attempt(
        _ message: QueuedMessage,
        to recipients: [Recipient],
        deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> AttemptReport {
        if case .memory(let buffer) = message.content.storage {
            self.noted.withLock { $0.append(buffer.readableBytes) }
        }
        return AttemptReport(outcomes: Dictionary(uniqueKeysWithValues: recipients.map { ($0.number, .accepted) }))
    }
}
