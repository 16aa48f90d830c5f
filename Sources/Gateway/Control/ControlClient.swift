import FoundationEssentials
import NIOCore
import NIOPosix

/// Asks the running gateway for something, through its Unix socket.
package enum ControlClient {
    /// No gateway listens there.
    package struct NotRunning: Error, CustomStringConvertible {
        let path: String

        package var description: String {
            "no gateway is running with this data directory (\(self.path)); start it with `hikyaku serve`"
        }
    }

    /// The longest reply, in octets.
    private static let replyLimit = 4 << 20

    /// Sends one request and waits for the reply, at most half a minute.
    package static func send(_ request: ControlRequest, to path: String) async throws -> ControlReply {
        let group = MultiThreadedEventLoopGroup.singleton
        let promise = group.next().makePromise(of: Data.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: promise.futureResult.eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = ReplyHandler(promise: promise, limit: Self.replyLimit)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .connect(unixDomainSocketPath: path).get()
        } catch {
            promise.fail(error)
            throw NotRunning(path: path)
        }
        promise.futureResult.eventLoop.scheduleTask(in: .seconds(30)) {
            promise.fail(ChannelError.connectTimeout(.seconds(30)))
        }
        let line = try JSONEncoder().encode(request) + [0x0A]
        channel.writeAndFlush(ByteBuffer(bytes: line), promise: nil)
        return try JSONDecoder().decode(ControlReply.self, from: try await promise.futureResult.get())
    }
}

/// Collects the reply until the gateway closes; confined to its event loop.
private final class ReplyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let promise: EventLoopPromise<Data>
    private let limit: Int
    private var received = Data()

    init(promise: EventLoopPromise<Data>, limit: Int) {
        self.promise = promise
        self.limit = limit
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received += self.unwrapInboundIn(data).readableBytesView
        if self.received.count > self.limit {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.promise.succeed(self.received)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.promise.fail(error)
        context.close(promise: nil)
    }
}
