import CCurl
import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The thread that drives all transfers.
///
/// `@unchecked Sendable`: the multi handle is used by the loop's thread alone, but for `curl_multi_wakeup`, which libcurl
/// allows from any thread as long as the handle lives, which the inbox knows; all else is behind a mutex.
final class CurlLoop: @unchecked Sendable {
    private struct Inbox {
        var added: [Transfer] = []
        var cancelled: [Transfer] = []
        var isStopping = false
        /// The multi handle is gone, or about to.
        var isOver = false
    }

    private let multi: UnsafeMutableRawPointer?
    private let inbox = Mutex(Inbox())
    private let thread = Mutex<pthread_t?>(nil)
    private let logger: Logger
    /// Of the loop's thread: what runs, by its easy handle.
    private var running: [UnsafeMutableRawPointer: Transfer] = [:]

    init(connections: Int, logger: Logger) {
        // Once a process; counting further calls is libcurl's business.
        curl_global_init(Int(CURL_GLOBAL_DEFAULT))
        self.multi = curl_multi_init()
        self.logger = logger
        _ = hikyaku_curl_multi_set_long(self.multi, CURLMOPT_MAXCONNECTS, connections)
        _ = hikyaku_curl_multi_set_long(self.multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
    }

    func start() {
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else {
                    return nil
                }
                Unmanaged<CurlLoop>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context
        )
        precondition(status == 0, "no thread for HTTP requests: errno \(status)")
        self.thread.withLock { $0 = thread }
    }

    func add(_ transfer: Transfer) {
        let isStopping = self.inbox.withLock { inbox in
            if !inbox.isStopping {
                inbox.added.append(transfer)
            }
            return inbox.isStopping
        }
        if isStopping {
            transfer.fail(.cancelled, "the gateway is stopping")
        } else {
            self.wake()
        }
    }

    func cancel(_ transfer: Transfer) {
        self.inbox.withLock { inbox in
            if !inbox.isOver {
                inbox.cancelled.append(transfer)
            }
        }
        self.wake()
    }

    /// Ends the thread and waits for it.
    func stop() {
        self.inbox.withLock { $0.isStopping = true }
        self.wake()
        let thread = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        if let thread {
            pthread_join(thread, nil)
        }
    }

    /// Ends the wait of the loop's thread; the lock keeps the handle alive meanwhile.
    private func wake() {
        self.inbox.withLock { inbox in
            if !inbox.isOver {
                curl_multi_wakeup(self.multi)
            }
        }
    }

    private func run() {
        while self.takeInbox() {
            var active: Int32 = 0
            curl_multi_perform(self.multi, &active)
            self.collectFinished()
            curl_multi_poll(self.multi, nil, 0, 1_000, nil)
        }
        for handle in Array(self.running.keys) {
            self.remove(handle)?.fail(.cancelled, "the gateway is stopping")
        }
        self.inbox.withLock { inbox in
            inbox.isOver = true
            inbox.cancelled = []
        }
        curl_multi_cleanup(self.multi)
    }

    /// Takes up what other threads left; false when it is time to end.
    private func takeInbox() -> Bool {
        let inbox = self.inbox.withLock { inbox in
            defer {
                inbox.added = []
                inbox.cancelled = []
            }
            return inbox
        }
        for transfer in inbox.added where !transfer.isOver {
            guard let handle = transfer.prepare() else {
                transfer.fail(.invalidRequest, "libcurl refused the request")
                continue
            }
            self.running[handle] = transfer
            curl_multi_add_handle(self.multi, handle)
        }
        for transfer in inbox.cancelled {
            if let handle = transfer.handle, self.running[handle] === transfer {
                self.remove(handle)?.fail(.cancelled, "cancelled")
            } else {
                transfer.fail(.cancelled, "cancelled")
            }
        }
        if inbox.isStopping {
            inbox.added.forEach { $0.fail(.cancelled, "the gateway is stopping") }
        }
        return !inbox.isStopping
    }

    private func collectFinished() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(self.multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle else {
                continue
            }
            let code = hikyaku_curl_result(message)
            guard let transfer = self.running[handle] else {
                continue
            }
            transfer.complete(code)
            _ = self.remove(handle)
        }
    }

    private func remove(_ handle: UnsafeMutableRawPointer) -> Transfer? {
        guard let transfer = self.running.removeValue(forKey: handle) else {
            return nil
        }
        curl_multi_remove_handle(self.multi, handle)
        transfer.cleanUp()
        return transfer
    }
}
