package import Delivery
package import Logging
import MailModel
package import NIOCore
package import SMTPProtocol

/// Hands messages to next hops over SMTP; one object for the whole gateway, which owns the connections.
package final class SMTPClient: Sendable {
    let group: any EventLoopGroup
    private let logger: Logger
    private let pool = ConnectionPool()
    private let contexts = TLSContexts()

    package init(group: any EventLoopGroup, logger: Logger) {
        self.group = group
        self.logger = logger
    }

    /// Tries to hand a message to one host, over a kept connection or a new one.
    ///
    /// Recipients over the limit of one transaction go in further ones on the same connection. `beforeCommit` runs once, when
    /// the first content is about to go. Always gives a result for each forward-path, by the deadline; only content that is
    /// going out steadily, and the wait for the reply to it, may last longer, unless the task is cancelled.
    package func deliver(
        _ mail: MailTransaction,
        content: MessageContent,
        over hop: NextHop,
        until deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> TransferReport {
        let end = NIODeadline(deadline)
        let gate = CommitGate(beforeCommit)
        var fresh = false
        while true {
            // The loop of this thread if it is one of ours: then the connection needs no other thread.
            let eventLoop = self.group.any()
            let grant = await self.pool.acquire(for: hop, fresh: fresh, until: end, on: eventLoop)
            let connection: SMTPConnection
            var report = TransferReport()
            switch grant {
            case .expired:
                let cause = ClientFailure.Cause.local("no connection to \(hop.host) became free in time")
                return .init(failure: ClientFailure(.connect, cause), for: mail)
            case .reuse(let kept):
                connection = kept
                report.reused = true
            case .open:
                do throws(SMTPConnection.SetUpFailure) {
                    (connection, report.tlsFailure) = try await self.open(hop, until: end, on: eventLoop)
                } catch {
                    self.pool.release(nil, of: hop)
                    var report = TransferReport(failure: error.failure, for: mail)
                    report.endpoint = error.endpoint
                    report.abandoned = error.abandoned
                    return report
                }
                report.timings = connection.setUpTimings
                report.abandoned = connection.abandoned
            }
            report.note(connection)
            let isStale = await self.run(
                mail,
                content: content,
                on: connection,
                of: hop,
                until: end,
                gate: gate,
                report: &report
            )
            guard isStale, report.reused, end > .now() else {
                return report
            }
            // The server had closed the kept connection, or has just had enough of it; nothing was handed over.
            self.logger.debug("kept connection was closed", metadata: ["host": "\(connection.endpoint)"])
            fresh = true
        }
    }

    /// Whether a connection to a host is open and waits for its next message.
    package func hasIdleConnection(to host: String, port: Int) -> Bool {
        self.pool.hasIdle(host: host, port: port)
    }

    /// Closes the idle connections and takes no more mail; what is under way ends by itself.
    package func shutDown() async {
        for connection in self.pool.shutDown() {
            connection.quit()
        }
    }

    /// Runs as many transactions as the limits make necessary; true when a kept connection proved dead before any mail.
    private func run(
        _ mail: MailTransaction,
        content: MessageContent,
        on connection: SMTPConnection,
        of hop: NextHop,
        until end: NIODeadline,
        gate: CommitGate,
        report: inout TransferReport
    ) async -> Bool {
        var split = RecipientSplit(
            count: mail.forwardPaths.count,
            limit: min(hop.limits.recipientsPerTransaction, connection.maximumRecipients ?? .max)
        )
        var isReusable = true
        while isReusable, let indices = split.next() {
            var part = mail
            part.forwardPaths = indices.map { mail.forwardPaths[$0] }
            _ = connection.countTransaction()
            let transfer = await connection.transfer(part, content: content, until: end) {
                try await gate.pass()
            }
            report.add(transfer.timings)
            isReusable = transfer.isReusable
            if report.reused, split.isFirst, !isReusable, !transfer.reachedContent,
                transfer.results.allSatisfy(\.isStaleConnection)
            {
                self.pool.release(nil, of: hop)
                return true
            }
            split.receive(transfer.results, of: indices)
        }
        if isReusable {
            self.pool.release(connection, of: hop)
        } else {
            connection.quit()
            self.pool.release(nil, of: hop)
        }
        let missing = ClientFailure(.mail, .lost("the server ended the connection"))
        report.results = split.results.map { $0 ?? .failed(missing) }
        return false
    }

    /// Opens a connection as the hop's policy wants it; tells why TLS failed where it then went on in clear text.
    func open(
        _ hop: NextHop,
        until end: NIODeadline,
        on eventLoop: any EventLoop
    ) async throws(SMTPConnection.SetUpFailure) -> (SMTPConnection, tlsFailure: ClientFailure?) {
        let connection: SMTPConnection
        var tlsFailure: ClientFailure?
        switch hop.tls {
        case .none:
            connection = try await self.open(hop, at: hop.endpoints, .never, until: end, on: eventLoop)
        case .required(.implicit, _):
            connection = try await self.open(hop, at: hop.endpoints, .never, until: end, on: eventLoop)
        case .required(.startTLS, _):
            connection = try await self.open(hop, at: hop.endpoints, .required, until: end, on: eventLoop)
        case .opportunistic:
            do {
                connection = try await self.open(hop, at: hop.endpoints, .ifOffered, until: end, on: eventLoop)
            } catch {
                guard error.failure.stage == .tls, let endpoint = error.endpoint, end > .now() else {
                    throw error
                }
                // RFC 7435: a broken TLS is no reason for not sending what would have gone in clear text.
                self.logger.info(
                    "TLS failed, going on in clear text",
                    metadata: ["host": "\(endpoint)", "why": "\(error.failure)"]
                )
                tlsFailure = error.failure
                connection = try await self.open(hop, at: [endpoint], .never, until: end, on: eventLoop)
            }
        }
        let key = hop.key
        connection.closed.whenComplete { [pool] _ in
            pool.forget(connection, of: key)
        }
        return (connection, tlsFailure)
    }

    private func open(
        _ hop: NextHop,
        at endpoints: [SMTPEndpoint],
        _ startTLS: ClientSession.StartTLS,
        until end: NIODeadline,
        on eventLoop: any EventLoop
    ) async throws(SMTPConnection.SetUpFailure) -> SMTPConnection {
        try await SMTPConnection.open(
            to: hop,
            at: endpoints,
            startTLS: startTLS,
            contexts: self.contexts,
            until: end,
            on: eventLoop
        )
    }
}

extension RecipientResult {
    /// What a connection says that the server has closed, or closes now, before it took anything of this message.
    fileprivate var isStaleConnection: Bool {
        guard case .failed(let failure) = self, !failure.mayHaveBeenAccepted else {
            return false
        }
        switch failure.cause {
        case .lost: return true
        case .reply(let reply): return reply.code == 421 && failure.stage == .mail
        case .timeout, .notConnected, .protocolError, .tls, .certificate, .notOffered, .tooLarge, .unwritable,
            .ourselves, .secretUnreadable, .local:
            return false
        }
    }
}
