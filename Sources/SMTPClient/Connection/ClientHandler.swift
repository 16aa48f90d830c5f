import FoundationEssentials
import MailModel
import NIOCore
import NIOSSL
import NIOTLS
import SMTPProtocol

/// Runs a `ClientSession` on a channel; decides nothing but when a wait is over.
///
/// Confined to the event loop of its channel, hence neither `Sendable` nor locked.
final class ClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the one who waits for this connection is told.
    enum Event: Sendable {
        case ready
        case sendContent
        case finished([RecipientResult])
        case failed(ClientFailure)
    }

    private(set) var session: ClientSession
    /// Time spent at each stage, in the order of their beginning.
    private(set) var timings: [StageTiming] = []
    private(set) var tlsVersion: String?
    private let hop: NextHop
    private let contexts: TLSContexts
    private let verdict: CertificateVerdict
    private var parser = ReplyParser()
    /// What was read and is no whole reply yet.
    private(set) var received = ByteBuffer()
    private var context: ChannelHandlerContext?
    private var waiter: CheckedContinuation<Event, Never>?
    private var event: Event?
    private var isHandshaking: Bool
    /// The kernel has the final dot, and with it perhaps the server.
    private var dotIsWritten = false
    /// Of the content that is under way.
    private var pace: ContentPace?
    private var stageBegan = NIODeadline.now()
    private var attemptEnds: NIODeadline
    private var waitEnds = NIODeadline.distantFuture
    private var timer: Scheduled<Void>?
    private var whenQuitting: (@Sendable () -> Void)?
    private var timerFires = NIODeadline.distantFuture

    init(
        session: ClientSession,
        hop: NextHop,
        contexts: TLSContexts,
        verdict: CertificateVerdict,
        until attemptEnds: NIODeadline
    ) {
        self.session = session
        self.hop = hop
        self.contexts = contexts
        self.verdict = verdict
        self.attemptEnds = attemptEnds
        self.isHandshaking = hop.tls.isImplicit
    }

    // MARK: - Asked from outside

    /// Waits for the next event; only one waits at a time.
    func wait(_ continuation: CheckedContinuation<Event, Never>) {
        if let event = self.takeEvent() {
            continuation.resume(returning: event)
        } else if self.context == nil {
            // Closed before anybody waited, such as by a cancellation that came first: nothing will ever happen here.
            continuation.resume(
                returning: .failed(ClientFailure(self.session.stage, .lost("the connection is closed")))
            )
        } else {
            self.waiter = continuation
        }
    }

    /// What has happened and was told nobody.
    func takeEvent() -> Event? {
        defer {
            self.event = nil
        }
        return self.event
    }

    func begin(_ mail: MailTransaction, until deadline: NIODeadline) {
        self.event = nil
        self.timings = []
        // The stages of a transaction.
        self.timings.reserveCapacity(4)
        self.dotIsWritten = false
        self.pace = nil
        self.whenQuitting = nil
        self.stageBegan = self.now
        self.attemptEnds = deadline
        self.run(self.session.begin(mail))
    }

    /// Writes content; the last piece holds the final dot.
    func send(content: ByteBuffer, isLast: Bool, promise: EventLoopPromise<Void>?) {
        guard let context = self.context, self.event == nil else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        self.pace = (self.pace ?? ContentPace(began: self.now)).adding(content.readableBytes)
        self.armTimer(at: .data)
        guard isLast else {
            context.writeAndFlush(self.wrapOutboundOut(content), promise: promise)
            return
        }
        self.session.contentSent()
        self.note(stage: .data)
        let written = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        written.futureResult.whenSuccess { _ in
            bound.value.dotIsWritten = true
        }
        self.armTimer(at: .commit)
        context.writeAndFlush(self.wrapOutboundOut(content), promise: written)
    }

    /// Gives up on the running transaction and the connection; nothing more is written.
    func abandon(_ cause: ClientFailure.Cause) {
        self.interrupt(cause)
    }

    /// Gives up; with the final dot out, whether the message was taken stays in doubt.
    ///
    /// Who cancels has waited for that answer as long as it may: the process is about to end.
    func cancel() {
        self.interrupt(.lost("the attempt was cancelled"))
    }

    /// Says QUIT when the time is over without another transaction, and tells of it.
    func park(for idle: Duration, whenQuitting: @escaping @Sendable () -> Void) {
        self.whenQuitting = whenQuitting
        self.attemptEnds = .distantFuture
        self.waitEnds = self.now + .bounded(idle)
        self.scheduleTimer()
    }

    func quit() {
        let whenQuitting = self.whenQuitting
        self.whenQuitting = nil
        self.run(self.session.quit())
        whenQuitting?()
    }

    // MARK: - Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func channelActive(context: ChannelHandlerContext) {
        self.stageBegan = self.now
        self.armTimer(at: self.isHandshaking ? .tls : .greeting)
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.timer?.cancel()
        self.timer = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // TLS takes seconds to say goodbye and hands up whatever comes meanwhile; nobody reads that any more.
        guard self.context != nil else {
            return
        }
        var bytes = self.unwrapInboundIn(data)
        if self.received.readableBytes == 0 {
            self.received = bytes
        } else {
            self.received.writeBuffer(&bytes)
        }
        self.readReplies()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent {
            self.handshakeCompleted(context: context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func handshakeCompleted(context: ChannelHandlerContext) {
        let tls = try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self)
        if self.hop.tls.isVerified, TLSContexts.name(of: self.hop) != nil {
            guard let certificate = tls?.peerCertificate, CertificateName.matches(self.hop.host, certificate) else {
                self.interrupt(.certificate(.hostMismatch, "\(self.hop.host) is wanted"))
                return
            }
        }
        self.tlsVersion = tls?.tlsVersion?.name
        self.note(stage: .tls)
        self.isHandshaking = false
        if self.hop.tls.isImplicit {
            self.armTimer(at: .greeting)
        } else {
            self.run(self.session.tlsEstablished())
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.interrupt(.lost("closed by the other side"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard self.isHandshaking, let fault = self.certificateFault(error) else {
            self.interrupt(.lost(Connector.describe(error)))
            return
        }
        self.interrupt(.certificate(fault, "\(self.hop.tls.associations?.serverName ?? self.hop.host) is wanted"))
    }

    private func certificateFault(_ error: any Error) -> CertificateFault? {
        if let fault = self.verdict.fault {
            return fault
        }
        let tls = try? self.context?.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self)
        return CertificateFault(error, certificate: tls?.peerCertificate, now: Int64(Date().timeIntervalSince1970))
    }

    // MARK: - Dialogue

    private func readReplies() {
        do {
            while self.context != nil, let reply = try self.parser.next(from: &self.received) {
                self.note(stage: self.session.stage)
                let action = self.session.receive(reply)
                // RFC 5321 §2.1: one reply a command. Whoever answers what was not asked yet is not listening to us.
                if case .send = action, self.received.readableBytes > 0 {
                    self.interrupt(.protocolError("the server spoke before it was asked"))
                    return
                }
                self.run(action)
            }
            if self.received.readableBytes == 0 {
                // Let go of, so that the channel can read into the same memory again instead of asking for more.
                self.received = ByteBuffer()
            }
        } catch {
            self.interrupt(.protocolError(error.rawValue))
        }
    }

    private func run(_ action: ClientSession.Action) {
        switch action {
        case .wait: self.armTimer(at: self.session.stage)
        case .send(let commands): self.write(commands)
        case .startTLS: self.startTLS()
        case .ready:
            self.waitEnds = .distantFuture
            self.tell(.ready)
        case .sendContent:
            self.armTimer(at: .data)
            self.tell(.sendContent)
        case .sendFinalDot:
            self.context.map { $0.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: ".\r\n")), promise: nil) }
            self.armTimer(at: .data)
        case .finished(let results):
            self.waitEnds = .distantFuture
            self.tell(.finished(results))
        case .fail(let failure):
            self.close()
            self.tell(.failed(failure))
        case .close: self.close()
        }
    }

    private func write(_ commands: [ClientCommand]) {
        guard let context = self.context else {
            return
        }
        var buffer = context.channel.allocator.buffer(capacity: 128 * commands.count)
        do {
            for command in commands {
                try command.write(to: &buffer)
            }
        } catch {
            self.interrupt(.unwritable(error.rawValue))
            return
        }
        if self.session.isQuitting {
            self.waitEnds = self.now + .bounded(self.hop.timeouts.quit)
            self.scheduleTimer()
        } else {
            self.armTimer(at: self.session.stage)
        }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }

    private func startTLS() {
        guard let context = self.context else {
            return
        }
        // RFC 3207 §6 and "NO STARTTLS": what came in clear behind the 220 may be an attacker's; it is not read as if it had
        // come through TLS.
        let injected = self.received.readableBytes
        self.received = ByteBuffer()
        self.parser = ReplyParser()
        if injected > 0, self.hop.tls.isRequired {
            self.interrupt(.protocolError("\(injected) octets in clear behind the reply to STARTTLS"))
            return
        }
        do {
            self.isHandshaking = true
            self.armTimer(at: .tls)
            let handler = try self.contexts.handler(for: self.hop, verdict: self.verdict)
            try context.pipeline.syncOperations.addHandler(handler, position: .first)
        } catch {
            self.interrupt(.tls(Connector.describe(error)))
        }
    }

    private func interrupt(_ cause: ClientFailure.Cause) {
        var action: ClientSession.Action
        if self.isHandshaking {
            // The handshake of implicit TLS comes before anything that the session knows of.
            let cause = if case .lost(let text) = cause { ClientFailure.Cause.tls(text) } else { cause }
            action = self.session.interrupted(by: cause, dotMayHaveLeft: false)
            self.isHandshaking = false
            if case .fail(var failure) = action {
                failure.stage = .tls
                action = .fail(failure)
            }
        } else {
            action = self.session.interrupted(by: cause, dotMayHaveLeft: self.dotIsWritten)
        }
        self.abort()
        self.run(action)
    }

    /// Closes without the goodbye of TLS, during which a final dot that has not left yet still could.
    private func abort() {
        let tls = try? self.context?.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self)
        self.close(from: tls ?? self.context)
    }

    private func tell(_ event: Event) {
        if let waiter = self.waiter {
            self.waiter = nil
            waiter.resume(returning: event)
        } else {
            self.event = event
        }
    }

    private func close() {
        self.close(from: self.context)
    }

    private func close(from context: ChannelHandlerContext?) {
        self.timer?.cancel()
        self.timer = nil
        self.waitEnds = .distantFuture
        self.whenQuitting = nil
        self.received = ByteBuffer()
        self.context = nil
        context?.close(promise: nil)
    }

    // MARK: - Time

    private var now: NIODeadline {
        self.context?.eventLoop.now ?? .now()
    }

    private func note(stage: ClientStage) {
        let now = self.now
        self.timings.add(now - self.stageBegan, at: stage)
        self.stageBegan = now
    }

    private func armTimer(at stage: ClientStage) {
        let stageEnds = self.now + self.hop.timeouts.wait(at: stage)
        self.waitEnds =
            switch stage {
            // RFC 1047: who does not wait for this answer sends the message twice, which helps no attempt.
            case .commit: stageEnds
            case .data: min(stageEnds, max(self.attemptEnds, self.pace?.deadline ?? self.attemptEnds))
            case .connect, .tls, .greeting, .ehlo, .auth, .mail, .rcpt: min(stageEnds, self.attemptEnds)
            }
        self.scheduleTimer()
    }

    /// One timer runs for many waits: it looks at the clock when it fires, which is cheaper than a timer a reply.
    private func scheduleTimer() {
        guard let context = self.context, self.timer == nil || self.waitEnds < self.timerFires else {
            return
        }
        self.timer?.cancel()
        self.timerFires = self.waitEnds
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        self.timer = context.eventLoop.scheduleTask(deadline: self.waitEnds) {
            bound.value.timerFired()
        }
    }

    private func timerFired() {
        self.timer = nil
        guard self.waitEnds <= self.now else {
            if self.waitEnds < .distantFuture {
                self.scheduleTimer()
            }
            return
        }
        if self.session.isReusable {
            self.quit()
        } else {
            self.interrupt(.timeout)
        }
    }
}
