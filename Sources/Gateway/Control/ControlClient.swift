import FoundationEssentials
import MailModel
package import NIOCore
import NIOPosix
import SQLiteStore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Asks the running gateway for something, through its Unix socket.
package enum ControlClient {
    /// No gateway listens there.
    package struct NotRunning: Error, CustomStringConvertible {
        let path: String

        package var description: String {
            "no gateway is running with this data directory (\(self.path)); start it with `hikyaku serve`"
        }
    }

    /// There may be a gateway, and whoever asks may not.
    package struct Denied: Error, CustomStringConvertible {
        package let description: String
    }

    /// Why nobody could be asked: only where nothing is, or nobody listens any more, no gateway runs.
    static func failure(_ code: Int32, _ path: String) -> any Error {
        switch code {
        case ENOENT, ENOTDIR, ECONNREFUSED: NotRunning(path: path)
        case EACCES, EPERM: Denied(description: permissionDenied(path))
        default: StartupFailure("cannot ask the gateway on \(path): \(String(cString: strerror(code)))")
        }
    }

    /// The longest reply, in octets.
    package static let replyLimit = 4 << 20

    /// Hands over a message of another queue; returns after the gateway has committed it.
    static func handOver(
        _ envelope: TakeOverEnvelope,
        _ content: ByteBuffer,
        to path: String
    ) async throws -> TakeOverReceipt {
        let encoded = try JSONEncoder().encode(envelope)
        var request = ControlRequest(.takeOver)
        request.envelopeLength = encoded.count
        request.contentLength = content.readableBytes
        var attached = ByteBuffer(bytes: encoded)
        attached.writeImmutableBuffer(content)
        let reply = try await self.send(request, attached: attached, to: path, timeout: .seconds(120))
        guard let receipt = reply.takenOver else {
            throw StartupFailure(reply.error ?? "the gateway does not know how: is it of another version?")
        }
        return receipt
    }

    /// Sends one request and waits for its reply as long as the caller wishes.
    package static func send(
        _ request: ControlRequest,
        to path: String,
        patience: Duration
    ) async throws -> ControlReply {
        try await self.send(request, to: path, timeout: .milliseconds(patience.wholeMilliseconds))
    }

    /// Sends one request, with what it announces to follow, and waits for the reply.
    package static func send(
        _ request: ControlRequest,
        attached: ByteBuffer = ByteBuffer(),
        to path: String,
        timeout: TimeAmount = .seconds(30),
        limit: Int = Self.replyLimit
    ) async throws -> ControlReply {
        let group = MultiThreadedEventLoopGroup.singleton
        let promise = group.next().makePromise(of: Data.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: promise.futureResult.eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = ReplyHandler(promise: promise, limit: limit)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .connect(unixDomainSocketPath: path).get()
        } catch {
            promise.fail(error)
            throw (error as? IOError).map { self.failure($0.errnoCode, path) } ?? NotRunning(path: path)
        }
        let deadline = promise.futureResult.eventLoop.scheduleTask(in: timeout) {
            promise.fail(StartupFailure("the gateway did not answer on \(path) in time"))
        }
        promise.futureResult.whenComplete { _ in deadline.cancel() }
        let line = try JSONEncoder().encode(request) + [0x0A]
        channel.write(ByteBuffer(bytes: line), promise: nil)
        channel.writeAndFlush(attached, promise: nil)
        let reply = try await promise.futureResult.get()
        guard !reply.isEmpty else {
            throw StartupFailure("the gateway closed its socket \(path) without an answer")
        }
        do {
            return try JSONDecoder().decode(ControlReply.self, from: reply)
        } catch {
            throw StartupFailure(
                "the gateway's answer is not understood; are the command and the gateway of one version?"
            )
        }
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
            self.promise.fail(StartupFailure("the gateway's answer is longer than \(self.limit) octets"))
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
