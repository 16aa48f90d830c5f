import Delivery
import FoundationEssentials
import Logging
import MailModel
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Answers the commands of operators on a Unix socket beside the store; one JSON object a line each way.
final class ControlServer: Sendable {
    /// The longest request, in octets.
    private static let requestLimit = 16_384

    private let channel: any Channel

    private let path: String

    private init(_ channel: any Channel, at path: String) {
        self.channel = channel
        self.path = path
    }

    /// Opens the socket; a stale one of a gateway that was killed is replaced, since the store's lock is ours.
    static func start(_ gateway: GatewayService) async throws -> ControlServer? {
        let path = gateway.configuration.controlSocket
        // Bound in a folder that is ours alone, closed to others, then moved: at its own path it is never open to them.
        let folder = "\(path).new"
        let hidden = "\(folder)/s"
        guard hidden.utf8.count < 104 else {
            gateway.logger.warning(
                "control-socket is longer than a Unix socket path may be; commands cannot reach the gateway"
            )
            return nil
        }
        // What a gateway left that was killed at this point.
        unlink(hidden)
        rmdir(folder)
        guard mkdir(folder, 0o700) == 0 else {
            throw StartupFailure("control-socket: cannot make \(folder): \(String(cString: strerror(errno)))")
        }
        defer { rmdir(folder) }
        let channel = try await ServerBootstrap(group: gateway.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ControlHandler(gateway: gateway, limit: Self.requestLimit)
                    )
                }
            }
            .bind(unixDomainSocketPath: hidden).get()
        guard chmod(hidden, 0o600) == 0, rename(hidden, path) == 0 else {
            let reason = String(cString: strerror(errno))
            unlink(hidden)
            try await channel.close()
            throw StartupFailure("control-socket: cannot make \(path): \(reason)")
        }
        return ControlServer(channel, at: path)
    }

    func stop() async {
        unlink(self.path)
        // Closed already is as good.
        try? await self.channel.close()
    }
}

/// Reads one request, answers it, closes; confined to its event loop.
private final class ControlHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let gateway: GatewayService
    private let limit: Int
    private var buffer = ByteBuffer()
    private var isAnswering = false

    init(gateway: GatewayService, limit: Int) {
        self.gateway = gateway
        self.limit = limit
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // One request a connection: what comes behind it is dropped.
        guard !self.isAnswering else {
            return
        }
        var bytes = self.unwrapInboundIn(data)
        self.buffer.writeBuffer(&bytes)
        let octets = self.buffer.readableBytesView
        let end = octets.prefix(self.limit + 1).firstIndex(of: UInt8(ascii: "\n"))
        guard end != nil || octets.count > self.limit else {
            return
        }
        self.isAnswering = true
        let promise = context.eventLoop.makePromise(of: ControlReply.self)
        if let end {
            let line = Data(octets[..<end])
            let gateway = self.gateway
            promise.completeWithTask { await gateway.answer(line) }
        } else {
            promise.succeed(ControlReply(error: "the request is longer than \(self.limit) octets"))
        }
        self.buffer.clear()
        self.reply(with: promise.futureResult, channel: context.channel)
    }

    private func reply(with answer: EventLoopFuture<ControlReply>, channel: any Channel) {
        answer.whenSuccess { reply in
            // Our own types encode; an empty line would only say that they do not.
            let text = (try? JSONEncoder().encode(reply)) ?? Data()
            channel.writeAndFlush(ByteBuffer(bytes: text + [0x0A])).whenComplete { _ in
                channel.close(promise: nil)
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
