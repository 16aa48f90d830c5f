import Benchmark
import Delivery
import FoundationEssentials
import Logging
import SQLiteStore
import Synchronization
import TestKit

import struct NIOCore.ByteBuffer

/// Commits as they are made for clients that wait: alone, and fifty that share what they can.
func storeBenchmarks() {
    for batch in [1, 50] {
        let folder = FileManager.default.temporaryDirectory.path + "/hikyaku-microbench-\(UUID().uuidString)"
        Benchmark(
            "store: commit \(batch) of 4 KiB",
            closure: { (benchmark: Benchmark, scratch: ScratchStore) in
                let messages = scratch.messages(batch)
                benchmark.startMeasurement()
                try await scratch.enqueue(messages)
                benchmark.stopMeasurement()
            },
            setup: { try ScratchStore(folder) },
            teardown: { try FileManager.default.removeItem(atPath: folder) }
        )
    }
}

/// A store in a folder that is thrown away.
private final class ScratchStore: Sendable {
    private let store: MessageStore
    private let number = Mutex<Int64>(0)
    private let octets = content(of: 4_096)

    init(_ folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        self.store = try MessageStore.open(
            .init(directory: folder),
            logger: Logger(label: "microbench") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    /// New messages, each with one recipient and its first attempt, as the gateway accepts them.
    func messages(_ count: Int) -> [NewMessage] {
        (0..<count).map { _ in
            let number = self.number.withLock { number in
                number += 1
                return number
            }
            var new = SampleQueue.new(number, firstAttempts: [SampleQueue.start(1_000_000_000 + number, of: number)])
            new.message.content = MessageContent(
                size: self.octets.readableBytes,
                isEightBit: false,
                storage: .memory(self.octets)
            )
            return new
        }
    }

    /// Hands all of them over at once, and returns when the last one is on disk.
    func enqueue(_ messages: [NewMessage]) async throws {
        try await withThrowingTaskGroup { group in
            for message in messages {
                group.addTask {
                    let result = await withCheckedContinuation { continuation in
                        self.store.enqueue(message) { continuation.resume(returning: $0) }
                    }
                    try result.get()
                }
            }
            try await group.waitForAll()
        }
    }
}
