import DNSProtocol
import MailModel
import NIOCore
import NIOPosix

/// One question and its answer over UDP, from a socket of its own with a random port.
///
/// The socket is connected, so that the kernel drops what comes from elsewhere and tells us of closed ports.
struct DatagramExchange {
    let group: any EventLoopGroup
    let server: SocketAddress

    /// Sends a query and returns the first answer that the interpretation accepts as one.
    func ask(
        _ query: [UInt8],
        timeout: Duration,
        accepts: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(TransportFailure) -> [UInt8] {
        let loop = self.group.next()
        let promise = loop.makePromise(of: [UInt8].self)
        let server = self.server
        let channel: any Channel
        do {
            channel = try await DatagramBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = AnswerHandler(promise: promise, accepts: accepts)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .connect(to: server).get()
        } catch {
            let failure = TransportFailure(error)
            promise.fail(failure)
            throw failure
        }
        let timer = loop.scheduleTask(in: .nanoseconds(timeout.nanoseconds)) {
            promise.fail(TransportFailure.timeout)
        }
        let envelope = AddressedEnvelope(remoteAddress: server, data: ByteBuffer(bytes: query))
        channel.writeAndFlush(envelope).whenFailure { promise.fail(TransportFailure($0)) }
        defer {
            timer.cancel()
            channel.close(promise: nil)
        }
        return try await promise.answer()
    }
}

/// Waits for the answer among whatever arrives; confined to its event loop.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let promise: EventLoopPromise<[UInt8]>
    private let accepts: @Sendable ([UInt8]) -> Bool
    /// Datagrams that were no answer; somebody who floods us with forgeries only loses us this source.
    private var strangers = 0

    init(promise: EventLoopPromise<[UInt8]>, accepts: @escaping @Sendable ([UInt8]) -> Bool) {
        self.promise = promise
        self.accepts = accepts
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Array(self.unwrapInboundIn(data).data.readableBytesView)
        if self.accepts(bytes) {
            self.promise.succeed(bytes)
            return
        }
        self.strangers += 1
        if self.strangers > 100 {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.promise.fail(TransportFailure(error))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.promise.fail(TransportFailure.connectionLost)
    }
}

extension Duration {
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = self.components
        return min(seconds, 1 << 32) * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
