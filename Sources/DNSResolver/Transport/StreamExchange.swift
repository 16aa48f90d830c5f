import MailModel
import NIOCore
import NIOPosix

/// One question and its answer over TCP (RFC 7766), on a connection of its own.
struct StreamExchange {
    let group: any EventLoopGroup
    let server: SocketAddress

    func ask(_ query: [UInt8], timeout: Duration) async throws(TransportFailure) -> [UInt8] {
        let loop = self.group.next()
        let promise = loop.makePromise(of: [UInt8].self)
        let limit = TimeAmount.nanoseconds(timeout.nanoseconds)
        let timer = loop.scheduleTask(in: limit) {
            promise.fail(TransportFailure.timeout)
        }
        defer { timer.cancel() }
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: loop)
                .connectTimeout(limit)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(FramedAnswerHandler(promise: promise))
                    }
                }
                .connect(to: self.server).get()
        } catch {
            let failure = TransportFailure(error)
            promise.fail(failure)
            throw failure
        }
        defer { channel.close(promise: nil) }
        var frame = ByteBuffer()
        frame.writeInteger(UInt16(clamping: query.count))
        frame.writeBytes(query)
        channel.writeAndFlush(frame).whenFailure { promise.fail(TransportFailure($0)) }
        return try await promise.answer()
    }
}

/// Collects one message behind its two octets of length; confined to its event loop.
private final class FramedAnswerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let promise: EventLoopPromise<[UInt8]>
    private var buffer = ByteBuffer()

    init(promise: EventLoopPromise<[UInt8]>) {
        self.promise = promise
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.buffer.writeBuffer(&bytes)
        guard let length = self.buffer.getInteger(at: self.buffer.readerIndex, as: UInt16.self) else {
            return
        }
        if let message = self.buffer.getBytes(at: self.buffer.readerIndex + 2, length: Int(length)) {
            self.promise.succeed(message)
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.promise.fail(TransportFailure(error))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.promise.fail(TransportFailure.connectionLost)
    }
}
