import Delivery
import MailModel
import NIOCore
import SMTPProtocol
import Synchronization

/// One open connection that takes mail; used by one transaction at a time.
final class SMTPConnection: Sendable {
    let endpoint: SMTPEndpoint
    let tls: String?
    let mechanism: String?
    /// Our own address on this connection, as TLS reports name it.
    let localAddress: String?
    /// The most recipients the server wants in one transaction.
    let maximumRecipients: Int?
    /// How long each stage of the set-up took.
    let setUpTimings: [StageTiming]
    /// Failures of other addresses before this one answered.
    let abandoned: [AbandonedEndpoint]
    private let channel: any Channel
    private let handler: NIOLoopBound<ClientHandler>
    private let begun = Mutex(0)

    /// Octets of file content that are read, stuffed and written at a time.
    private static let blockSize = 128 * 1024

    private init(_ connected: Connector.Connected, facts: Facts, connectTime: Duration) {
        self.channel = connected.channel
        self.localAddress = connected.channel.localAddress?.ipAddress
        self.endpoint = connected.endpoint
        self.abandoned = connected.abandoned
        self.handler = connected.handler
        self.tls = facts.tls
        self.mechanism = facts.mechanism
        self.maximumRecipients = facts.maximumRecipients
        self.setUpTimings = [StageTiming(stage: .connect, duration: connectTime)] + facts.timings
    }

    private struct Facts: Sendable {
        var tls: String?
        var mechanism: String?
        var maximumRecipients: Int?
        var timings: [StageTiming]
    }

    /// Connects to the hop and goes as far as a server that waits for `MAIL`.
    static func open(
        to hop: NextHop,
        at endpoints: [SMTPEndpoint],
        startTLS: ClientSession.StartTLS,
        contexts: TLSContexts,
        until deadline: NIODeadline,
        on eventLoop: any EventLoop
    ) async throws(SetUpFailure) -> SMTPConnection {
        let login: ClientLogin?
        do {
            login = try await hop.credentials?.login()
        } catch {
            let text = "cannot read the secret of \(hop.credentials?.username ?? "")"
            let isLocal = (error as? FileBlocks.Unreadable)?.isForWantOfDescriptors ?? false
            throw SetUpFailure(failure: ClientFailure(.auth, isLocal ? .local(text) : .secretUnreadable(text)))
        }
        let configuration = ClientSession.Configuration(
            name: hop.heloName,
            startTLS: startTLS,
            isEncrypted: hop.tls.isImplicit,
            authenticatesServer: hop.tls.isAuthenticated,
            login: login,
            allowsClearTextLogin: hop.allowsClearTextLogin,
            refusesOwnName: hop.refusesOwnName
        )
        if hop.tls.isImplicit {
            do {
                _ = try contexts.handler(for: hop, verdict: CertificateVerdict())
            } catch {
                throw SetUpFailure(failure: ClientFailure(.tls, .tls(Connector.describe(error))))
            }
        }
        let began = ContinuousClock.now
        let connected = try await Self.connect(to: hop, at: endpoints, until: deadline, on: eventLoop) { channel in
            let session = ClientSession(configuration)
            let verdict = CertificateVerdict()
            let handler = ClientHandler(
                session: session,
                hop: hop,
                contexts: contexts,
                verdict: verdict,
                until: deadline
            )
            if hop.tls.isImplicit {
                try channel.pipeline.syncOperations.addHandler(contexts.handler(for: hop, verdict: verdict))
            }
            try channel.pipeline.syncOperations.addHandler(handler)
            return handler
        }
        let connectTime = ContinuousClock.now - began
        let handler = connected.handler
        let event = await withTaskCancellationHandler {
            await Self.wait(for: handler, on: eventLoop) { _ in }
        } onCancel: {
            eventLoop.execute { handler.value.cancel() }
        }
        if case .failed(let failure) = event {
            throw SetUpFailure(failure: failure, endpoint: connected.endpoint, abandoned: connected.abandoned)
        }
        let facts = await Self.facts(of: handler, hop: hop, on: eventLoop)
        return SMTPConnection(connected, facts: facts, connectTime: connectTime)
    }

    /// Why no connection came about, and whose fault it was.
    struct SetUpFailure: Error, Sendable {
        var failure: ClientFailure
        var endpoint: SMTPEndpoint?
        var abandoned: [AbandonedEndpoint] = []
    }

    // MARK: - Mail

    /// How many transactions have begun, this one included, after counting it.
    func countTransaction() -> Int {
        self.begun.withLock { count in
            count += 1
            return count
        }
    }

    var transactions: Int {
        self.begun.withLock { $0 }
    }

    var isReusable: Bool {
        get async {
            await Self.ask(self.handler, on: self.channel.eventLoop) { $0.session.isReusable } ?? false
        }
    }

    struct Transfer: Sendable {
        var results: [RecipientResult]
        var timings: [StageTiming]
        /// Whether the server was asked for content, so that the attempt must not silently be made again.
        var reachedContent: Bool
        var isReusable: Bool
    }

    /// Runs one transaction; `beforeCommit` is called when the server waits for the content.
    func transfer(
        _ mail: MailTransaction,
        content: MessageContent,
        until deadline: NIODeadline,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> Transfer {
        let handler = self.handler
        let eventLoop = self.channel.eventLoop
        return await withTaskCancellationHandler {
            var event = await Self.wait(for: handler, on: eventLoop) { $0.begin(mail, until: deadline) }
            var reachedContent = false
            if case .sendContent = event {
                reachedContent = true
                event = await self.send(content, beforeCommit: beforeCommit)
            }
            return await self.conclude(event, of: mail, reachedContent: reachedContent)
        } onCancel: {
            eventLoop.execute { handler.value.cancel() }
        }
    }

    /// Keeps the connection open for the next message, for a while; tells when it is about to end for want of one.
    func park(for idle: Duration, whenQuitting: @escaping @Sendable () -> Void) {
        Self.perform(on: self.handler, self.channel.eventLoop) { $0.park(for: idle, whenQuitting: whenQuitting) }
    }

    /// Says QUIT and closes.
    func quit() {
        Self.perform(on: self.handler, self.channel.eventLoop) { $0.quit() }
    }

    var eventLoop: any EventLoop {
        self.channel.eventLoop
    }

    var closed: EventLoopFuture<Void> {
        self.channel.closeFuture
    }

    private func send(
        _ content: MessageContent,
        beforeCommit: @Sendable () async throws -> Void
    ) async -> ClientHandler.Event {
        do {
            try await beforeCommit()
        } catch {
            return await self.abandon(.local("the attempt could not be noted before its commit"))
        }
        switch content.storage {
        case .memory(let bytes):
            var encoder = DotStuffingEncoder()
            var output = self.channel.allocator.buffer(capacity: bytes.readableBytes + 256)
            encoder.write(bytes, to: &output)
            encoder.finish(to: &output)
            return await self.sendLast(output)
        case .file(let path):
            return await self.stream(path: path, size: content.size)
        }
    }

    private func sendLast(_ output: ByteBuffer) async -> ClientHandler.Event {
        await Self.wait(for: self.handler, on: self.channel.eventLoop) {
            $0.send(content: output, isLast: true, promise: nil)
        }
    }

    /// Sends a file block by block, each after the one before it has left; the last one with the final dot.
    private func stream(path: String, size: Int) async -> ClientHandler.Event {
        do {
            let file = try await FileBlocks.open(path)
            var encoder = DotStuffingEncoder()
            var offset = 0
            var output = ByteBuffer()
            while true {
                let count = min(Self.blockSize, size - offset)
                let block = try await file.read(count, at: offset)
                guard block.readableBytes == count else {
                    throw FileBlocks.Unreadable()
                }
                offset += count
                output = self.channel.allocator.buffer(capacity: count + 256)
                encoder.write(block, to: &output)
                if offset >= size {
                    break
                }
                try await self.write(output)
            }
            encoder.finish(to: &output)
            return await self.sendLast(output)
        } catch is ChannelError {
            return await self.abandon(.lost("while sending content"))
        } catch {
            return await self.abandon(.local("the content of the message cannot be read"))
        }
    }

    private func write(_ block: ByteBuffer) async throws {
        let promise = self.channel.eventLoop.makePromise(of: Void.self)
        Self.perform(on: self.handler, self.channel.eventLoop) {
            $0.send(content: block, isLast: false, promise: promise)
        }
        do {
            try await promise.futureResult.get()
        } catch {
            throw ChannelError.ioOnClosedChannel
        }
    }

    /// Ends the connection in mid-transaction; an earlier event, such as a refusal, wins.
    private func abandon(_ cause: ClientFailure.Cause) async -> ClientHandler.Event {
        await Self.wait(for: self.handler, on: self.channel.eventLoop) { $0.abandon(cause) }
    }

    private func conclude(
        _ event: ClientHandler.Event,
        of mail: MailTransaction,
        reachedContent: Bool
    ) async -> Transfer {
        let end = await Self.ask(self.handler, on: self.channel.eventLoop) { ($0.timings, $0.session.isReusable) }
        let results: [RecipientResult]
        switch event {
        case .finished(let finished): results = finished
        case .failed(let failure): results = mail.forwardPaths.map { _ in .failed(failure) }
        case .ready, .sendContent:
            let failure = ClientFailure(.data, .protocolError("out of step"))
            results = mail.forwardPaths.map { _ in .failed(failure) }
        }
        return Transfer(
            results: results,
            timings: end?.0 ?? [],
            reachedContent: reachedContent,
            isReusable: end?.1 ?? false
        )
    }

    // MARK: - Event loop

    private static func wait(
        for handler: NIOLoopBound<ClientHandler>,
        on eventLoop: any EventLoop,
        after action: @escaping @Sendable (ClientHandler) -> Void
    ) async -> ClientHandler.Event {
        await withCheckedContinuation { continuation in
            self.perform(on: handler, eventLoop) { handler in
                action(handler)
                handler.wait(continuation)
            }
        }
    }

    /// Does something on the event loop; at once where this is it, as it is for attempts that run on a loop.
    private static func perform(
        on handler: NIOLoopBound<ClientHandler>,
        _ eventLoop: any EventLoop,
        _ action: @escaping @Sendable (ClientHandler) -> Void
    ) {
        if eventLoop.inEventLoop {
            action(handler.value)
        } else {
            eventLoop.execute { action(handler.value) }
        }
    }

    /// Reads something on the event loop; nil when the loop is gone.
    private static func ask<Value: Sendable>(
        _ handler: NIOLoopBound<ClientHandler>,
        on eventLoop: any EventLoop,
        _ question: @escaping @Sendable (ClientHandler) -> Value
    ) async -> Value? {
        if eventLoop.inEventLoop {
            return question(handler.value)
        }
        return try? await eventLoop.submit { question(handler.value) }.get()
    }

    private static func facts(
        of handler: NIOLoopBound<ClientHandler>,
        hop: NextHop,
        on eventLoop: any EventLoop
    ) async -> Facts {
        let facts = await Self.ask(handler, on: eventLoop) { handler in
            Facts(
                tls: handler.tlsVersion.map { "\($0) \(hop.tls.verificationWord)" },
                mechanism: handler.session.mechanism?.rawValue,
                maximumRecipients: handler.session.extensions.maximumRecipients,
                timings: handler.timings
            )
        }
        return facts ?? Facts(timings: [])
    }

    private static func connect(
        to hop: NextHop,
        at endpoints: [SMTPEndpoint],
        until deadline: NIODeadline,
        on eventLoop: any EventLoop,
        setUp: @escaping Connector.SetUp
    ) async throws(SetUpFailure) -> Connector.Connected {
        let left = max(deadline - .now(), .milliseconds(1))
        do {
            let timeout = min(hop.timeouts.wait(at: .connect), left)
            return try await Connector.connect(to: endpoints, timeout: timeout, on: eventLoop, setUp: setUp)
        } catch let exhausted as Connector.Exhausted {
            let reasons = exhausted.abandoned.map { "\($0.endpoint.socketText) \($0.reason)" }
            let text = reasons.isEmpty ? "no address" : reasons.joined(separator: ", ")
            let isLocal = exhausted.abandoned.contains { $0.cause == .local }
            throw SetUpFailure(
                failure: ClientFailure(.connect, isLocal ? .local("no file descriptors left") : .notConnected(text)),
                abandoned: exhausted.abandoned
            )
        } catch {
            throw SetUpFailure(failure: ClientFailure(.connect, .notConnected(Connector.describe(error))))
        }
    }
}
