import Delivery
import FoundationEssentials
import Logging
import MailModel
import NIOCore
import NIOPosix
import PostfixQueue
import SQLiteStore

/// Moves the queue of a stopped Postfix into ours: reads each file, commits the message, and only then moves the file.
package struct TakeOver: Sendable {
    private typealias Prepared = (file: PostfixSpool.File, message: QueueFile)

    /// Commits one message and returns when that is durable.
    private typealias Destination = @Sendable (TakeOverEnvelope, ByteBuffer) async throws -> TakeOverReceipt

    /// Messages that are committed at a time, so that they share their flushes, and octets of them in memory.
    private static let batchCount = 32
    private static let batchOctets = 32 << 20

    private let configuration: GatewayConfiguration
    private let spool: PostfixSpool

    /// Throws a sentence for the operator when the path is no queue of Postfix.
    package init(of path: String, configuration: GatewayConfiguration) throws {
        self.configuration = configuration
        self.spool = try PostfixSpool(path)
    }

    /// Says what a run would do; changes nothing and may be asked beside a running Postfix.
    package func preview() throws -> TakeOverReport {
        var report = self.emptyReport(isDryRun: true)
        for file in try self.spool.files() {
            switch self.prepare(file) {
            case .entry(let entry): report.entries.append(entry)
            case .message(let message): report.entries.append(TakeOverEntry(file, message, .ready))
            }
        }
        return report
    }

    /// Takes everything over, through the running gateway or, without one, straight into the store.
    ///
    /// Throws when Postfix is running, unless it is forced, and when no message can be committed at all.
    package func run(isForced: Bool) async throws -> TakeOverReport {
        let lock = isForced ? nil : try SpoolLock(self.spool)
        defer { withExtendedLifetime(lock) {} }
        let path = self.configuration.controlSocket
        let status: ControlReply?
        do {
            status = try await ControlClient.send(ControlRequest(.status), to: path)
        } catch is ControlClient.NotRunning {
            status = nil
        }
        if status != nil {
            return try await self.run { envelope, content in
                try await ControlClient.handOver(envelope, content, to: path)
            }
        }
        return try await self.runOnStore()
    }

    private func runOnStore() async throws -> TakeOverReport {
        try self.checkOwner()
        let logger = Logger(label: "take-over") { _ in SwiftLogNoOpLogHandler() }
        let store = try MessageStore.open(.init(directory: self.configuration.dataDirectory), logger: logger)
        let result: Result<TakeOverReport, any Error>
        do {
            let intake = TakeOverIntake(
                hostname: self.configuration.hostname,
                expireAfter: self.configuration.retry.expireAfter,
                queueIDs: QueueIDSource(after: try await store.lastQueueID()),
                store: store,
                pool: NIOThreadPool.singleton,
                logger: logger
            )
            result = .success(
                try await self.run { envelope, content in
                    try await intake.take(envelope, content: content, at: .now)
                }
            )
        } catch {
            result = .failure(error)
        }
        await store.close()
        return try result.get()
    }

    /// Files that root makes in the store of another user would lock that user out.
    private func checkOwner() throws {
        let directory = self.configuration.dataDirectory
        guard let owner = SystemEnvironment.owner(of: directory), owner != SystemEnvironment.effectiveUser else {
            return
        }
        throw StartupFailure(
            "no gateway is running, and \(directory) belongs to user \(owner): start the gateway first, the messages "
                + "then go through it"
        )
    }

    private func run(_ destination: @escaping Destination) async throws -> TakeOverReport {
        var report = self.emptyReport(isDryRun: false)
        var files = try self.spool.files()[...]
        while !files.isEmpty {
            let (batch, entries) = self.nextBatch(&files)
            report.entries += entries
            let committed = await self.commit(batch, destination)
            report.entries += committed
            if committed.contains(where: { $0.state == .failed }) {
                report.notReached = files.count
                break
            }
        }
        return report
    }

    /// Reads files until there is enough to commit together; says what becomes of those that hold no message to send.
    private func nextBatch(_ files: inout ArraySlice<PostfixSpool.File>) -> (batch: [Prepared], rest: [TakeOverEntry]) {
        var batch: [Prepared] = []
        var entries: [TakeOverEntry] = []
        var octets = 0
        while batch.count < Self.batchCount, octets < Self.batchOctets, let file = files.popFirst() {
            switch self.prepare(file) {
            case .message(let message):
                octets += message.content.readableBytes
                batch.append((file, message))
            case .entry(var entry):
                if entry.state == .finished {
                    self.moveAside(file, &entry)
                }
                entries.append(entry)
            }
        }
        return (batch, entries)
    }

    private enum Preparation {
        case message(QueueFile)
        case entry(TakeOverEntry)
    }

    private func prepare(_ file: PostfixSpool.File) -> Preparation {
        let bytes: ByteBuffer
        do throws(PostfixSpool.Unreadable) {
            bytes = try self.spool.read(file)
        } catch {
            return .entry(TakeOverEntry(file, .leftAlone, reason: error.description))
        }
        do throws(QueueFileDamage) {
            let message = try QueueFile(parsing: bytes, defaultDomain: self.configuration.domain)
            return message.envelope.forwardPaths.isEmpty
                ? .entry(TakeOverEntry(file, message, .finished)) : .message(message)
        } catch {
            return .entry(TakeOverEntry(file, .leftAlone, reason: "damaged: \(error)"))
        }
    }

    private func commit(_ batch: [Prepared], _ destination: @escaping Destination) async -> [TakeOverEntry] {
        await withTaskGroup(of: (Int, TakeOverEntry).self) { group in
            for (index, prepared) in batch.enumerated() {
                group.addTask { (index, await self.commit(prepared, destination)) }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func commit(_ prepared: Prepared, _ destination: Destination) async -> TakeOverEntry {
        let (file, message) = prepared
        let envelope = TakeOverEnvelope(message, queueID: file.queueID, isHeld: file.queue == .hold)
        var entry = TakeOverEntry(file, message, .takenOver)
        do {
            let receipt = try await destination(envelope, message.content)
            entry.id = receipt.id
            entry.state = receipt.isNew ? .takenOver : .takenOverBefore
        } catch {
            entry.state = .failed
            entry.reason = "\(error)"
            return entry
        }
        self.moveAside(file, &entry)
        return entry
    }

    private func moveAside(_ file: PostfixSpool.File, _ entry: inout TakeOverEntry) {
        do {
            try self.spool.moveAside(file)
        } catch {
            entry.state = .failed
            entry.reason = "\(error); the message is in our queue, and will not be queued again"
        }
    }

    private func emptyReport(isDryRun: Bool) -> TakeOverReport {
        TakeOverReport(
            spool: self.spool.path,
            isDryRun: isDryRun,
            entries: [],
            notReached: 0,
            submittedByCommand: self.spool.submittedByCommand
        )
    }
}
