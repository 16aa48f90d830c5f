import Delivery
import Dispatch
import Foundation
import GRDB
import Logging
import Synchronization

/// One change on its way into the next commit.
struct Work: Sendable {
    /// Makes the change inside a transaction, perhaps twice, and returns what to call after the commit.
    ///
    /// An error thrown before anything was written concerns this work alone.
    let run: @Sendable (Connection) throws -> @Sendable () -> Void
    let fail: @Sendable (StoreFailure) -> Void
}

/// The thread that writes: it commits whatever arrived while the last commit ran, as one transaction with one flush.
///
/// A lone work waits for no company. Submitting never blocks and takes no part in the waiting for locks and disks.
final class CommitThread: Sendable {
    private struct State {
        var pending: [Work] = []
        /// The thread waits for a signal.
        var isSleeping = false
        var isClosing = false
        var whenClosed: [@Sendable () -> Void] = []
        var isClosed = false
        var counters = CommitCounters()
    }

    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let capacity: Int
    private let logger: Logger

    /// Refuses more than `capacity` works that wait.
    init(capacity: Int, logger: Logger) {
        self.capacity = capacity
        self.logger = logger
    }

    /// Starts the thread, which owns the database from here on; the last thing before it closes it is `beforeClosing`.
    func start(_ database: WriterDatabase, beforeClosing: @escaping @Sendable () -> Void) {
        // Handed over whole: the caller does not touch it again.
        nonisolated(unsafe) let database = database
        let thread = Thread {
            while let batch = self.nextBatch(database) {
                self.commit(batch, to: database)
                database.checkpointIfLong()
            }
            beforeClosing()
            database.close()
            self.finishClosing()
        }
        thread.name = "hikyaku.store"
        thread.start()
    }

    var counters: CommitCounters {
        self.state.withLock { $0.counters }
    }

    /// How many works wait for the commit after the one that runs.
    var backlog: Int {
        self.state.withLock { $0.pending.count }
    }

    /// Hands in a change; when too many wait already, or after `close`, it fails at once on this thread.
    func submit(_ work: Work) {
        enum Decision {
            case taken(wake: Bool)
            case refused(StoreFailure)
        }
        let decision: Decision = self.state.withLock { state in
            guard !state.isClosing else {
                return .refused(StoreFailure(.closed, "the queue is being closed"))
            }
            guard state.pending.count < self.capacity else {
                return .refused(StoreFailure(.busy, "\(self.capacity) changes wait for the disk already"))
            }
            state.pending.append(work)
            defer { state.isSleeping = false }
            return .taken(wake: state.isSleeping)
        }
        switch decision {
        case .taken(wake: true): self.wake.signal()
        case .taken(wake: false): break
        case .refused(let failure): work.fail(failure)
        }
    }

    /// Commits what waits, then ends the thread; calls back when the database is closed.
    func close(_ completion: @escaping @Sendable () -> Void) {
        let (isClosed, wakes) = self.state.withLock { state in
            state.isClosing = true
            if !state.isClosed {
                state.whenClosed.append(completion)
            }
            defer { state.isSleeping = false }
            return (state.isClosed, state.isSleeping)
        }
        if wakes {
            self.wake.signal()
        }
        if isClosed {
            completion()
        }
    }

    private func finishClosing() {
        let waiting = self.state.withLock { state in
            state.isClosed = true
            defer { state.whenClosed = [] }
            return state.whenClosed
        }
        waiting.forEach { $0() }
    }

    /// Everything that waits, as soon as there is something; nil at the end.
    private func nextBatch(_ database: WriterDatabase) -> [Work]? {
        while true {
            enum Step {
                case work([Work])
                case sleep
                case end
            }
            let step: Step = self.state.withLock { state in
                if !state.pending.isEmpty {
                    var batch: [Work] = []
                    swap(&batch, &state.pending)
                    return .work(batch)
                }
                state.isSleeping = !state.isClosing
                return state.isClosing ? .end : .sleep
            }
            switch step {
            case .work(let batch): return batch
            case .end: return nil
            case .sleep: self.sleep(database)
            }
        }
    }

    /// Waits for work; a long enough pause is used for a checkpoint.
    private func sleep(_ database: WriterDatabase) {
        if database.hasMuchToCheckpoint {
            if self.wake.wait(timeout: .now() + .milliseconds(300)) == .success {
                return
            }
            database.checkpoint(truncate: false)
        }
        self.wake.wait()
    }

    // MARK: Committing

    /// Commits a batch, and tells each of its works what became of it.
    private func commit(_ batch: [Work], to database: WriterDatabase) {
        do {
            self.report(try self.transaction(batch, in: database), of: batch)
        } catch {
            switch BatchTrouble(error) {
            case .ofOneOperation where batch.count > 1:
                self.commitSingly(batch, to: database)
            case .ofOneOperation, .ofTheMoment:
                self.fail(batch[...], with: error)
            case .ofTheHandle:
                database.abandonRefusedCommit()
                self.fail(batch[...], with: error)
            }
        }
    }

    private func transaction(
        _ batch: [Work],
        in database: WriterDatabase
    ) throws -> [Result<@Sendable () -> Void, StoreFailure>] {
        var results: [Result<@Sendable () -> Void, StoreFailure>] = []
        results.reserveCapacity(batch.count)
        try database.transaction { connection in
            for work in batch {
                let before = connection.database.totalChangesCount
                do {
                    results.append(.success(try work.run(connection)))
                } catch let error as StoreFailure
                    where connection.database.totalChangesCount == before && connection.database.isInsideTransaction
                {
                    // Nothing was written for it: its neighbours go on.
                    results.append(.failure(error))
                }
            }
        }
        return results
    }

    private func report(_ results: [Result<@Sendable () -> Void, StoreFailure>], of batch: [Work]) {
        self.state.withLock { state in
            state.counters.commits += 1
            state.counters.works += batch.count
        }
        for (work, result) in zip(batch, results) {
            switch result {
            case .success(let completion): completion()
            case .failure(let failure): work.fail(failure)
            }
        }
    }

    /// Gives every work a transaction of its own, until it is plain that the disk takes none of them.
    private func commitSingly(_ batch: [Work], to database: WriterDatabase) {
        var failuresInARow = 0
        for (index, work) in batch.enumerated() {
            do {
                self.report(try self.transaction([work], in: database), of: [work])
                failuresInARow = 0
            } catch {
                failuresInARow += 1
                let trouble = BatchTrouble(error)
                if trouble == .ofTheHandle {
                    database.abandonRefusedCommit()
                }
                guard trouble == .ofOneOperation, failuresInARow < 3 || StoreFailure(error).kind != .full else {
                    self.fail(batch[index...], with: error)
                    return
                }
                self.fail([work], with: error)
            }
        }
    }

    private func fail(_ batch: ArraySlice<Work>, with error: any Error) {
        let failure = StoreFailure(error)
        self.logger.error("commit failed", metadata: ["works": "\(batch.count)", "error": "\(failure)"])
        for work in batch {
            work.fail(failure)
        }
    }
}

/// How much the store has committed since it was opened.
package struct CommitCounters: Hashable, Sendable {
    /// Transactions.
    package var commits = 0
    /// Changes that went with them; divided by `commits` this is the gain of sharing flushes.
    package var works = 0
}
