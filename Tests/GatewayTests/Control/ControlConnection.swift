import NIOCore
import NIOPosix
import TestKit

/// A client of the control socket that may misbehave.
enum ControlConnection {
    /// Sends octets and returns everything that comes until the gateway closes.
    static func exchange(
        _ octets: [UInt8],
        closing: Bool = false,
        with path: String
    ) async throws -> [UInt8] {
        try await self.exchange([octets], closing: closing, with: path)
    }

    static func exchange(
        _ pieces: [[UInt8]],
        closing: Bool = false,
        with path: String
    ) async throws -> [UInt8] {
        let promise = self.promise()
        let channel = try await self.connect(to: path, Collector(promise))
        for piece in pieces {
            // A gateway that has closed already has said what it had to say.
            try? await channel.writeAndFlush(ByteBuffer(bytes: piece))
        }
        if closing {
            try? await channel.close(mode: .output)
        }
        let limit = channel.eventLoop.scheduleTask(in: .seconds(20)) {
            promise.fail(NeverHappened(description: "the gateway neither answered nor closed"))
        }
        defer { limit.cancel() }
        return try await promise.futureResult.get()
    }

    static func promise() -> EventLoopPromise<[UInt8]> {
        MultiThreadedEventLoopGroup.singleton.next().makePromise()
    }

    static func connect(
        to path: String,
        _ handler: @autoclosure @escaping @Sendable () -> Collector
    ) async throws -> any Channel {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(handler())
                }
            }
            .connect(unixDomainSocketPath: path).get()
    }
}

/// Collects what comes until the end; confined to its event loop.
final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let promise: EventLoopPromise<[UInt8]>
    private var received: [UInt8] = []

    init(_ promise: EventLoopPromise<[UInt8]>) {
        self.promise = promise
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received += self.unwrapInboundIn(data).readableBytesView
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.promise.succeed(self.received)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
