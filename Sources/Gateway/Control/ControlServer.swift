import Delivery
import FoundationEssentials
import Logging
import MailModel
import NIOCore
import NIOPosix

/// Answers the commands of operators on a Unix socket beside the store; one JSON object a line each way.
final class ControlServer: Sendable {
    /// The longest request, in octets.
    private static let requestLimit = 16_384

    private let channel: any Channel

    private init(_ channel: any Channel) {
        self.channel = channel
    }

    /// Opens the socket; a stale one of a gateway that was killed is replaced, since the store's lock is ours.
    static func start(_ gateway: GatewayService) async throws -> ControlServer? {
        let path = gateway.configuration.controlSocket
        guard path.utf8.count < 104 else {
            gateway.logger.warning(
                "control-socket is longer than a Unix socket path may be; commands cannot reach the gateway"
            )
            return nil
        }
        let mask = umask(0o077)
        defer { umask(mask) }
        let channel = try await ServerBootstrap(group: gateway.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ControlHandler(gateway: gateway, limit: Self.requestLimit)
                    )
                }
            }
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        // The mask is the whole process's: whoever else changes it meanwhile must not open the socket to others.
        chmod(path, 0o600)
        return ControlServer(channel)
    }

    func stop() async {
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
