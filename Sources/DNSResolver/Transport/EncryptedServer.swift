import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

/// One server of DNS over TLS (RFC 7858): a connection that is kept while it is used, with many questions under way at a time.
///
/// Everything but `ask` and `close` runs on the event loop of its connection. Answers come in any order (RFC 7766 §6.2.1.1),
/// told apart by their identifiers. A question whose connection was reused and broke is asked again on a new one, once.
final class EncryptedServer: Sendable {
    /// The most questions under way at a time; what comes beyond has to ask another source.
    static let limit = 100
    /// How long a connection stays open without a question (RFC 7766 §6.2.3).
    private static let idleTime = TimeAmount.seconds(20)

    private struct Inquiry {
        var query: [UInt8]
        var promise: EventLoopPromise<[UInt8]>
        var mayAskAgain = true
    }

    private enum State {
        case closed
        /// Until the handshake is over, and the server has proved its name.
        case connecting(waiting: [Inquiry])
        case open(any Channel)
    }

    private struct Content {
        var state = State.closed
        var underWay: [UInt16: Inquiry] = [:]
        /// Counts connections, so that what is heard of an old one does not touch its successor.
        var generation = 0
        /// Messages that came over this connection.
        var received = 0
        var idleTimer: Scheduled<Void>?
    }

    private let loop: any EventLoop
    private let address: SocketAddress
    private let context: NIOSSLContext
    private let name: String?
    private let content: NIOLoopBoundBox<Content>

    /// Prepares a server; `name` is that of the certificate, nil where it is the address.
    init(loop: any EventLoop, address: SocketAddress, context: NIOSSLContext, name: String?) {
        self.loop = loop
        self.address = address
        self.context = context
        self.name = name
        self.content = .makeBoxSendingValue(Content(), eventLoop: loop)
    }

    /// Sends a query, under an identifier of its own in place of the one it carries, and returns the answer to it.
    func ask(_ query: [UInt8], timeout: Duration) async throws(TransportFailure) -> [UInt8] {
        let promise = self.loop.makePromise(of: [UInt8].self)
        let limit = TimeAmount.nanoseconds(timeout.nanoseconds)
        self.loop.execute { self.submit(Inquiry(query: query, promise: promise), connectTimeout: limit) }
        let timer = self.loop.scheduleTask(in: limit) { promise.fail(TransportFailure.timeout) }
        defer { timer.cancel() }
        return try await promise.answer()
    }

    func close() {
        self.loop.execute { self.drop(TransportFailure.connectionLost) }
    }
}

// MARK: - On the event loop

extension EncryptedServer {
    private func submit(_ inquiry: Inquiry, connectTimeout: TimeAmount) {
        switch self.content.value.state {
        case .closed:
            self.content.value.state = .connecting(waiting: [inquiry])
            self.connect(within: connectTimeout)
        case .connecting(let waiting):
            guard waiting.count < Self.limit else {
                inquiry.promise.fail(TransportFailure.busy)
                return
            }
            self.content.value.state = .connecting(waiting: waiting + [inquiry])
        case .open(let channel):
            self.send(inquiry, over: channel)
        }
    }

    private func connect(within limit: TimeAmount) {
        self.content.value.generation += 1
        self.content.value.received = 0
        let generation = self.content.value.generation
        let timer = self.loop.scheduleTask(in: limit) { self.ended(generation, TransportFailure.timeout) }
        ClientBootstrap(group: self.loop)
            .connectTimeout(limit)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let tls = try NIOSSLClientHandler(context: self.context, serverHostname: self.name)
                    let answers = EncryptedAnswerHandler(self, generation)
                    try channel.pipeline.syncOperations.addHandlers([tls, answers])
                }
            }
            .connect(to: self.address)
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    channel.closeFuture.whenComplete { _ in timer.cancel() }
                    self.connected(generation, channel, timer)
                case .failure(let error):
                    timer.cancel()
                    self.ended(generation, error)
                }
            }
    }

    /// TCP stands; the timer runs on until the handshake is over.
    private func connected(_ generation: Int, _ channel: any Channel, _ timer: Scheduled<Void>) {
        guard generation == self.content.value.generation, case .connecting = self.content.value.state else {
            channel.close(promise: nil)
            return
        }
        self.content.value.idleTimer?.cancel()
        self.content.value.idleTimer = timer
    }

    /// The server has proved its name.
    fileprivate func secured(_ generation: Int, _ channel: any Channel) {
        guard generation == self.content.value.generation, case .connecting(let waiting) = self.content.value.state
        else {
            channel.close(promise: nil)
            return
        }
        self.content.value.idleTimer?.cancel()
        self.content.value.state = .open(channel)
        waiting.forEach { self.send($0, over: channel) }
        self.rest(generation)
    }

    private func send(_ inquiry: Inquiry, over channel: any Channel) {
        guard self.content.value.underWay.count < Self.limit else {
            inquiry.promise.fail(TransportFailure.busy)
            return
        }
        let id = self.freeIdentifier()
        self.content.value.underWay[id] = inquiry
        let (generation, received) = (self.content.value.generation, self.content.value.received)
        inquiry.promise.futureResult.whenComplete { _ in
            self.settled(id, inquiry, generation, receivedBefore: received)
        }
        var frame = ByteBuffer()
        frame.writeInteger(UInt16(clamping: inquiry.query.count))
        frame.writeInteger(id)
        frame.writeBytes(inquiry.query.dropFirst(2))
        channel.writeAndFlush(frame, promise: nil)
    }

    private func freeIdentifier() -> UInt16 {
        var id = UInt16.random(in: .min ... .max)
        while self.content.value.underWay[id] != nil {
            id = UInt16.random(in: .min ... .max)
        }
        return id
    }

    /// The inquiry is answered, or its time is over: the identifier is free again, and a late answer is nobody's.
    private func settled(_ id: UInt16, _ inquiry: Inquiry, _ generation: Int, receivedBefore: Int) {
        guard generation == self.content.value.generation,
            self.content.value.underWay[id]?.promise.futureResult === inquiry.promise.futureResult
        else {
            return
        }
        self.content.value.underWay[id] = nil
        if self.content.value.received == receivedBefore {
            // Nothing at all came since: the other end may be gone without a word, so that the next question connects anew.
            self.ended(generation, TransportFailure.connectionLost)
        }
    }

    fileprivate func received(_ message: [UInt8], _ generation: Int) {
        guard generation == self.content.value.generation, message.count >= 2 else {
            return
        }
        let id = UInt16(message[0]) << 8 | UInt16(message[1])
        self.content.value.received += 1
        // An answer that nobody waits for any more is passed over.
        self.content.value.underWay.removeValue(forKey: id)?.promise.succeed(message)
        self.rest(generation)
    }

    /// Closes the connection after a while in which nothing came.
    private func rest(_ generation: Int) {
        self.content.value.idleTimer?.cancel()
        self.content.value.idleTimer = self.loop.scheduleTask(in: Self.idleTime) {
            self.ended(generation, TransportFailure.connectionLost)
        }
    }

    /// The connection, or the attempt to make one, is over.
    fileprivate func ended(_ generation: Int, _ error: any Error) {
        if generation == self.content.value.generation {
            self.drop(error)
        }
    }

    private func drop(_ error: any Error) {
        let before = self.content.value
        self.content.value.idleTimer?.cancel()
        self.content.value.idleTimer = nil
        self.content.value.generation += 1
        self.content.value.state = .closed
        self.content.value.underWay = [:]
        switch before.state {
        case .closed:
            break
        case .connecting(let waiting):
            waiting.forEach { $0.promise.fail(error) }
        case .open(let channel):
            channel.close(promise: nil)
            for var inquiry in before.underWay.values {
                // Servers close what is idle whenever they like; that a question crossed it is nobody's failure.
                guard before.received > 0, inquiry.mayAskAgain else {
                    inquiry.promise.fail(error)
                    continue
                }
                inquiry.mayAskAgain = false
                self.submit(inquiry, connectTimeout: .seconds(5))
            }
        }
    }
}

/// Cuts the stream into messages (RFC 1035 §4.2.2); confined to its event loop.
private final class EncryptedAnswerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let server: EncryptedServer
    private let generation: Int
    private var buffer = ByteBuffer()

    init(_ server: EncryptedServer, _ generation: Int) {
        self.server = server
        self.generation = generation
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted = event as? TLSUserEvent {
            self.server.secured(self.generation, context.channel)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.buffer.writeBuffer(&bytes)
        while let length = self.buffer.getInteger(at: self.buffer.readerIndex, as: UInt16.self),
            let message = self.buffer.getBytes(at: self.buffer.readerIndex + 2, length: Int(length))
        {
            self.buffer.moveReaderIndex(forwardBy: 2 + message.count)
            self.server.received(message, self.generation)
        }
        self.buffer.discardReadBytes()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.server.ended(self.generation, error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.server.ended(self.generation, TransportFailure.connectionLost)
    }
}
