import NIOCore
import Synchronization

/// Keeps connections for the next message and bounds how many there are to one hop; who must wait is served in turn.
final class ConnectionPool: Sendable {
    enum Grant: Sendable {
        /// An open connection that has carried mail before.
        case reuse(SMTPConnection)
        /// Leave to open one.
        case open
        /// The time was over before one became free.
        case expired
    }

    fileprivate struct Waiter {
        var id: UInt64
        var continuation: CheckedContinuation<Grant, Never>
    }

    fileprivate struct Hop {
        var idle: [SMTPConnection] = []
        var leased = 0
        var waiters: [Waiter] = []
    }

    private struct State {
        var hops: [PoolKey: Hop] = [:]
        var nextID: UInt64 = 0
        var isShutDown = false
    }

    private let state = Mutex(State())

    func acquire(for hop: NextHop, fresh: Bool, until deadline: NIODeadline, on eventLoop: any EventLoop) async -> Grant
    {
        let key = hop.key
        var surplus: [SMTPConnection] = []
        let (grant, id) = self.state.withLock { state -> (Grant?, UInt64) in
            state.nextID &+= 1
            guard !state.isShutDown else {
                return (.expired, state.nextID)
            }
            return (
                state.hops[key, default: Hop()].grant(hop, fresh: fresh, on: eventLoop, surplus: &surplus), state.nextID
            )
        }
        for connection in surplus {
            connection.quit()
        }
        if let grant {
            return grant
        }
        return await self.wait(id: id, key: key, limit: hop.limits.connections, until: deadline, on: eventLoop)
    }

    /// Gives a connection back: to whoever waits, else to the idle ones.
    func release(_ connection: SMTPConnection?, of hop: NextHop) {
        let key = hop.key
        let isGood = connection.map { $0.transactions < hop.limits.messagesPerConnection } ?? false
        let (waiter, isKept) = self.state.withLock { state -> (Waiter?, Bool) in
            guard var entry = state.hops[key] else {
                return (nil, false)
            }
            defer {
                state.hops[key] = entry.leased + entry.idle.count + entry.waiters.count == 0 ? nil : entry
            }
            if !entry.waiters.isEmpty {
                return (entry.waiters.removeFirst(), isGood)
            }
            entry.leased -= 1
            guard let connection, isGood, !state.isShutDown, hop.limits.idle > .zero else {
                return (nil, false)
            }
            entry.idle.append(connection)
            return (nil, true)
        }
        if let waiter {
            if let connection, isKept {
                waiter.continuation.resume(returning: .reuse(connection))
                return
            }
            waiter.continuation.resume(returning: .open)
        } else if isKept {
            // Offered no more from the QUIT on: the answer to it may never come.
            connection?.park(for: hop.limits.idle) { [weak self, weak connection] in
                connection.map { self?.forget($0, of: key) }
            }
            return
        }
        connection?.quit()
    }

    /// Whether a connection to a host waits for its next message.
    func hasIdle(host: String, port: Int) -> Bool {
        let host = host.lowercased()
        return self.state.withLock { state in
            state.hops.contains { $0.key.host == host && $0.key.port == port && !$0.value.idle.isEmpty }
        }
    }

    /// A connection that closed by itself is no longer offered.
    func forget(_ connection: SMTPConnection, of key: PoolKey) {
        self.state.withLock { state in
            state.hops[key]?.idle.removeAll { $0 === connection }
            if let entry = state.hops[key], entry.leased + entry.idle.count + entry.waiters.count == 0 {
                state.hops[key] = nil
            }
        }
    }

    /// Closes what is idle and lets nobody in any more.
    func shutDown() -> [SMTPConnection] {
        let (idle, waiters) = self.state.withLock { state in
            state.isShutDown = true
            let hops = state.hops.values
            let found = (hops.flatMap(\.idle), hops.flatMap(\.waiters))
            for key in state.hops.keys {
                state.hops[key]?.idle = []
                state.hops[key]?.waiters = []
            }
            return found
        }
        for waiter in waiters {
            waiter.continuation.resume(returning: .expired)
        }
        return idle
    }

    private func wait(
        id: UInt64,
        key: PoolKey,
        limit: Int,
        until deadline: NIODeadline,
        on eventLoop: any EventLoop
    ) async -> Grant {
        let timer = eventLoop.scheduleTask(deadline: deadline) { self.expire(id, key: key) }
        defer {
            timer.cancel()
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let grant = self.state.withLock { state -> Grant? in
                    // Between the first look and this one a connection may have come back, or time and patience ended.
                    guard !state.isShutDown, deadline > .now(), !Task.isCancelled else {
                        return .expired
                    }
                    if state.hops[key, default: Hop()].leased < limit {
                        state.hops[key, default: Hop()].leased += 1
                        return .open
                    }
                    state.hops[key]?.waiters.append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                if let grant {
                    continuation.resume(returning: grant)
                }
            }
        } onCancel: {
            self.expire(id, key: key)
        }
    }

    private func expire(_ id: UInt64, key: PoolKey) {
        let waiter = self.state.withLock { state -> Waiter? in
            guard let index = state.hops[key]?.waiters.firstIndex(where: { $0.id == id }) else {
                return nil
            }
            return state.hops[key]?.waiters.remove(at: index)
        }
        waiter?.continuation.resume(returning: .expired)
    }
}

extension ConnectionPool.Hop {
    /// The youngest idle connection, of this event loop if there is one, else leave to open one; nil: wait.
    fileprivate mutating func grant(
        _ hop: NextHop,
        fresh: Bool,
        on eventLoop: any EventLoop,
        surplus: inout [SMTPConnection]
    ) -> ConnectionPool.Grant? {
        guard self.leased < hop.limits.connections else {
            return nil
        }
        self.leased += 1
        if !fresh, let index = self.youngest(for: hop, on: eventLoop) ?? self.youngest(for: hop, on: nil) {
            return .reuse(self.idle.remove(at: index))
        }
        if self.leased + self.idle.count > hop.limits.connections, !self.idle.isEmpty {
            surplus.append(self.idle.removeFirst())
        }
        return .open
    }

    private func youngest(for hop: NextHop, on eventLoop: (any EventLoop)?) -> Int? {
        self.idle.lastIndex { connection in
            (eventLoop == nil || connection.eventLoop === eventLoop)
                && hop.addresses.contains(connection.endpoint.address)
        }
    }
}
