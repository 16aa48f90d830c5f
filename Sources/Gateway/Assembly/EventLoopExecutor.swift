import NIOCore

/// Runs tasks on the thread of an event loop: what waits for a socket goes on where the socket is read, and wakes nobody.
///
/// Only for tasks that neither block nor compute for long.
final class EventLoopExecutor: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.eventLoop.execute {
            job.runSynchronously(on: self.asUnownedTaskExecutor())
        }
    }
}

extension EventLoopGroup {
    /// One executor for each event loop of the group.
    var executors: [any TaskExecutor] {
        self.makeIterator().map { EventLoopExecutor($0) }
    }
}
