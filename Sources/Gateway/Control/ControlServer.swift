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
    /// The longest line of a request, in octets.
    private static let requestLimit = 16_384

    /// The longest path of the socket, in octets: with what is added while it is made it must fit `sun_path`.
    static let longestPath = 97

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
        guard path.utf8.count <= Self.longestPath else {
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
    /// The request whose message is still coming in.
    private var request: ControlRequest?
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
        if self.request == nil {
            guard let line = self.takeLine(context) else {
                return
            }
            guard let request = try? JSONDecoder().decode(ControlRequest.self, from: line) else {
                let error = "the request is not understood; are the command and the gateway of one version?"
                return self.refuse(error, context)
            }
            guard let length = request.attachedLength else {
                return self.refuse("the message is larger than \(TakeOverEnvelope.contentLimit) octets", context)
            }
            self.buffer.discardReadBytes()
            self.buffer.reserveCapacity(length)
            self.request = request
        }
        if let request = self.request, let length = request.attachedLength,
            let attached = self.buffer.readSlice(length: length)
        {
            self.answer(request, attached, context)
        }
    }

    /// The first line once it is whole; nil until then, and when it is too long.
    private func takeLine(_ context: ChannelHandlerContext) -> Data? {
        let octets = self.buffer.readableBytesView
        guard let end = octets.prefix(self.limit + 1).firstIndex(of: UInt8(ascii: "\n")) else {
            if octets.count > self.limit {
                self.refuse("the request is longer than \(self.limit) octets", context)
            }
            return nil
        }
        let line = Data(octets[..<end])
        self.buffer.moveReaderIndex(to: end + 1)
        return line
    }

    private func refuse(_ error: String, _ context: ChannelHandlerContext) {
        self.isAnswering = true
        self.buffer.clear()
        self.reply(with: context.eventLoop.makeSucceededFuture(ControlReply(error: error)), channel: context.channel)
    }

    private func answer(_ request: ControlRequest, _ attached: ByteBuffer, _ context: ChannelHandlerContext) {
        self.isAnswering = true
        self.buffer = ByteBuffer()
        let promise = context.eventLoop.makePromise(of: ControlReply.self)
        let gateway = self.gateway
        promise.completeWithTask { await gateway.answer(request, attached) }
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
