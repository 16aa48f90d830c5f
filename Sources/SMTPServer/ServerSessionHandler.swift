import Logging
import MailModel
import NIOCore
import NIOSSL
import NIOTLS
import SMTPProtocol

/// Carries out the actions of a `ServerSession` on a channel and decides nothing itself.
///
/// Confined to the event loop of its channel, hence neither `Sendable` nor locked.
final class ServerSessionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Commands that are answered before other connections have a turn.
    private static let actionsInTurn = 100

    let shared: ListenerContext
    var session: ServerSession
    var input = ByteBuffer()
    var output = ByteBuffer()
    /// Takes the place of `output` while that is written.
    var spareOutput = ByteBuffer()
    var collector: ContentCollector?
    var address: IPAddress
    /// What the ledger of connections counts us under.
    var ledgerAddress: IPAddress
    var port: Int
    var tlsDescription: String?
    var accepted = 0
    /// Commands that were refused, and the last refusal.
    var refusals = 0
    var lastRefusal: Reply?
    var end: SessionEnd?
    var context: ChannelHandlerContext?
    /// The loop of the channel; stays known when that is gone, since answers to what it asked may still come.
    let eventLoop: any EventLoop
    var isAdmitted = false
    var isDelaying = false
    /// Other connections have their turn first.
    var isYielding = false
    /// When the turn began that others have waited for.
    var turnBegan: NIODeadline?
    var isClosing = false
    /// The connection is no more.
    var isGone = false
    var inputClosed = false
    var isReadHeld = false
    var opened = NIODeadline.now()
    var lastActivity = NIODeadline.now()
    var contentBegan: NIODeadline?
    /// Octets in the hands of the sink.
    var submitted = 0
    /// What the memory budget knows of us.
    var charged = 0
    var timer: Scheduled<Void>?

    init(shared: ListenerContext, eventLoop: any EventLoop) {
        self.shared = shared
        self.eventLoop = eventLoop
        self.address = .v4(0)
        self.ledgerAddress = .v4(0)
        self.port = 0
        self.session = ServerSession(policy: SessionPolicy(hostname: "", qualifyDomain: ""))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive {
            self.begin(context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.isClosing = true
        self.isGone = true
        self.input = ByteBuffer()
        self.dropContent()
        self.settle()
        if self.isAdmitted {
            self.isAdmitted = false
            self.shared.bounds.connections.release(self.ledgerAddress)
            self.logDisconnect()
        }
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var octets = self.unwrapInboundIn(data)
        guard !self.isClosing else {
            return
        }
        if self.contentBegan != nil {
            self.lastActivity = .now()
        }
        if self.input.readableBytes == 0 {
            self.input = octets
        } else {
            self.input.discardReadBytes()
            self.input.writeBuffer(&octets)
        }
        self.process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.flush()
        context.fireChannelReadComplete()
    }

    /// Holds reading back while the client is far enough ahead of us; the kernel's window does the rest.
    func read(context: ChannelHandlerContext) {
        if self.mustHoldReads(context) {
            self.isReadHeld = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            self.process()
            self.flush()
        }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ShutdownEvent:
            self.session.shutdown()
            self.process()
            self.flush()
        case TLSUserEvent.handshakeCompleted:
            let version = try? context.pipeline.syncOperations.nioSSL_tlsVersion()
            // The version is for logs and trace fields; that there is none stops nothing.
            self.tlsDescription = version.map(name(of:)) ?? "TLS"
            if self.shared.configuration.tlsMode == .implicit {
                self.greet(context)
            }
        case ChannelEvent.inputClosed:
            self.inputClosed = true
            guard !self.isClosing else {
                context.close(promise: nil)
                return
            }
            self.process()
            self.flush()
            self.closeIfFinished()
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isOfTLS = error is BoringSSLError || (error is NIOSSLError && error as? NIOSSLError != .uncleanShutdown)
        self.log(
            isOfTLS ? .info : .debug,
            isOfTLS ? "TLS failed" : "connection failed",
            ["error": "\(escaped("\(error)"))"]
        )
        context.close(promise: nil)
    }

    // MARK: Session

    func begin(_ context: ChannelHandlerContext) {
        guard !self.isAdmitted, let remote = context.channel.remoteAddress,
            let address = IPAddress(remote.ipAddress ?? "")
        else {
            return
        }
        let configuration = self.shared.configuration
        self.address = address.unmapped
        self.port = remote.port ?? 0
        let isAllowed = configuration.allows(self.address)
        self.session = ServerSession(
            policy: configuration.sessionPolicy(mayRelay: isAllowed, hasTLS: self.shared.tls() != nil),
            isTLSActive: configuration.tlsMode == .implicit
        )
        let isTrusted = isAllowed || isLoopback(self.address)
        self.ledgerAddress = isTrusted ? self.address : self.address.network
        if let reply = self.refusal(isTrusted: isTrusted) {
            self.refuseConnection(reply)
            return
        }
        self.isAdmitted = true
        self.shared.events(.connected)
        self.log(.debug, "connected", [:])
        self.opened = .now()
        self.armTimer()
        if configuration.tlsMode != .implicit {
            self.greet(context)
        }
    }

    /// Why the connection cannot be served, if so.
    private func refusal(isTrusted: Bool) -> Reply? {
        let configuration = self.shared.configuration
        if configuration.authPolicy == .required, self.shared.bounds.guesses.isBlocked(self.address) {
            return SessionCut.guessing.reply
        }
        let limits = configuration.limits
        let admission = self.shared.bounds.connections.admit(
            self.ledgerAddress,
            limit: limits.connections,
            limitForAddress: isTrusted ? limits.connectionsPerTrustedAddress : limits.connectionsPerAddress
        )
        switch admission {
        case .admitted: return nil
        case .refused(let reply): return reply
        }
    }

    private func refuseConnection(_ reply: Reply) {
        self.shared.events(.connectionRefused)
        self.log(.warning, "connection refused", ["reply": "\(reply)"])
        self.isClosing = true
        guard self.shared.configuration.tlsMode != .implicit else {
            // It could be told only after a handshake, which costs more than all that it is refused for.
            self.context?.close(promise: nil)
            return
        }
        ReplyWriter.write(reply, to: &self.output)
        self.flushAndClose()
    }

    func greet(_ context: ChannelHandlerContext) {
        ReplyWriter.write(self.session.greeting, to: &self.output)
        self.flush()
    }

    /// Runs the session until it needs more octets, an answer, or a client that reads its replies.
    func process() {
        guard let context = self.context, self.isAdmitted else {
            return
        }
        var actions = 0
        while !self.isDelaying, !self.isYielding, !self.isClosing, context.channel.isWritable {
            let action: SessionAction?
            if let collector = self.collector {
                action = self.session.next(&self.input, content: &collector.content)
            } else {
                // Octets that belong to no kept content.
                var dropped = ByteBuffer()
                action = self.session.next(&self.input, content: &dropped)
            }
            guard let action else {
                break
            }
            self.run(action)
            actions += 1
            if actions == Self.actionsInTurn {
                self.yieldToOthers()
            }
            if self.output.readableBytes >= self.shared.configuration.limits.outputAhead {
                self.flush()
            }
        }
        if actions > 0 {
            self.lastActivity = .now()
        }
        if self.input.readableBytes == 0 {
            // Let go of, so that the channel can read into the same memory again instead of asking for more.
            self.input = ByteBuffer()
        }
        self.relieveMemory()
        self.settle()
        self.resumeReading()
    }

    func run(_ action: SessionAction) {
        switch action {
        case .send(let reply):
            self.count(reply)
            ReplyWriter.write(reply, to: &self.output)
        case .sendDelayed(let reply):
            self.count(reply)
            self.delay(reply)
        case .refuse(let reply, let refusal):
            ReplyWriter.write(reply, to: &self.output)
            self.note(refusal)
        case .startTLS(let reply):
            ReplyWriter.write(reply, to: &self.output)
            self.startTLS()
        case .authenticate(let credentials):
            self.authenticate(credentials)
        case .beginContent(let envelope, let reply):
            self.beginContent(envelope)
            if let reply {
                ReplyWriter.write(reply, to: &self.output)
            }
        case .submit:
            self.submit()
        case .dropContent(let reply):
            self.dropContent()
            self.shared.events(.submissionRefused)
            self.log(.info, "message refused", ["reply": "\(escaped(reply.description))"])
            ReplyWriter.write(reply, to: &self.output)
        case .close(let reply, let end):
            self.end = end
            self.dropContent()
            ReplyWriter.write(reply, to: &self.output)
            self.flushAndClose(lingers: end != .quit && end != .shutdown)
        }
    }

    func dropContent() {
        self.collector?.discard()
        self.collector = nil
        self.contentBegan = nil
    }

    private func count(_ reply: Reply) {
        if reply.code >= 400 {
            self.refusals += 1
            self.lastRefusal = reply
        }
    }

    func delay(_ reply: Reply) {
        self.isDelaying = true
        self.flush()
        let handler = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.eventLoop.scheduleTask(in: TimeAmount(self.shared.configuration.limits.errorDelay)) {
            let handler = handler.value
            handler.isDelaying = false
            guard !handler.isClosing else {
                return
            }
            ReplyWriter.write(reply, to: &handler.output)
            handler.lastActivity = .now()
            handler.goOn()
        }
    }

    /// Octets read ahead of the handshake are dropped: they came in clear text (CVE-2011-0411).
    func startTLS() {
        self.input.clear()
        self.opened = .now()
        self.flush()
        guard let context = self.context, let tls = self.shared.tls() else {
            self.flushAndClose()
            return
        }
        do {
            try context.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls), position: .first)
            try context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
            self.session.tlsDidStart()
        } catch {
            self.log(.error, "TLS cannot start", ["error": "\(error)"])
            self.flushAndClose()
        }
    }
}

private func name(of version: TLSVersion) -> String {
    switch version {
    case .tlsv1: "TLSv1"
    case .tlsv11: "TLSv1.1"
    case .tlsv12: "TLSv1.2"
    case .tlsv13: "TLSv1.3"
    }
}

private func isLoopback(_ address: IPAddress) -> Bool {
    switch address {
    case .v4(let number): number >> 24 == 127
    case .v6(let high, let low): high == 0 && low == 1
    }
}

extension ListenerConfiguration {
    fileprivate func sessionPolicy(mayRelay: Bool, hasTLS: Bool) -> SessionPolicy {
        SessionPolicy(
            hostname: self.hostname,
            qualifyDomain: self.qualifyDomain,
            authentication: self.authPolicy,
            allowsAuthenticationWithoutTLS: self.authWithoutTLS,
            offersSTARTTLS: self.tlsMode == .starttls && hasTLS,
            mayRelay: mayRelay,
            limits: self.limits.session
        )
    }
}
