package import Logging
package import MailModel
package import NIOCore
package import NIOPosix
package import NIOSSL
import Synchronization

/// Listens on one address and serves SMTP sessions until shut down.
package final class SMTPListener: Sendable {
    private struct State {
        var server: (any Channel)?
        var connections: [ObjectIdentifier: any Channel] = [:]
    }

    /// Octets; replies are all that we send.
    private static let sendBuffer: SocketOptionValue = 65_536

    /// Octets that are read at once at least; each connection keeps memory for so many, half of what is never counted.
    private static let readSize = 8_192

    private let shared: ListenerContext
    private let group: any EventLoopGroup
    private let state = Mutex(State())

    /// Prepares a listener; `tls` is asked for each handshake and must give a context unless the mode is `none`.
    package init(
        configuration: ListenerConfiguration,
        group: any EventLoopGroup,
        tls: @escaping @Sendable () -> NIOSSLContext? = { nil },
        sink: any SubmissionSink,
        authenticator: (any Authenticator)? = nil,
        clock: @escaping @Sendable () -> Timestamp,
        logger: Logger,
        bounds: SharedBounds = SharedBounds(),
        pool: NIOThreadPool = .singleton,
        events: @escaping @Sendable (ServerEvent) -> Void = { _ in }
    ) {
        self.group = group
        var logger = logger
        logger[metadataKey: "listener"] = .string(configuration.name)
        self.shared = ListenerContext(
            configuration: configuration,
            tls: tls,
            sink: sink,
            authenticator: authenticator,
            bounds: bounds,
            clock: clock,
            pool: pool,
            logger: logger,
            events: events
        )
    }

    /// What it was told to be.
    package var configuration: ListenerConfiguration {
        self.shared.configuration
    }

    /// Where it listens; nil before `start` and after `stopAccepting`.
    package var localAddress: SocketAddress? {
        self.state.withLock { $0.server?.localAddress }
    }

    /// The same for people: `127.0.0.1:25`, `[::1]:25`.
    package var boundTo: String? {
        guard let address = self.localAddress, let host = address.ipAddress, let port = address.port else {
            return nil
        }
        return address.protocol == .inet6 ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// The port it listens on.
    package var port: Int? {
        self.localAddress?.port
    }

    /// Binds the socket; throws when the address is not to be had.
    package func start() async throws {
        let shared = self.shared
        let host = shared.configuration.host
        let isIPv6 = host.contains(":")
        let server = try await ServerBootstrap(group: self.group)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                guard isIPv6 else {
                    return channel.eventLoop.makeSucceededVoidFuture()
                }
                // Else "::" takes IPv4 as well (RFC 3493 §5.3), and a listener on "0.0.0.0" finds its port in use.
                let onlyIPv6 = ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only)
                return channel.setOption(onlyIPv6, value: 1)
            }
            // Connections inherit it: what a client does not read takes little of the kernel's memory, either.
            .serverChannelOption(.socketOption(.so_sndbuf), value: Self.sendBuffer)
            .childChannelInitializer { [weak self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try Self.setOptions(of: channel, shared.configuration)
                    self?.register(channel)
                    if shared.configuration.tlsMode == .implicit {
                        guard let context = shared.tls() else {
                            throw ChannelError.inappropriateOperationForState
                        }
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        ServerSessionHandler(shared: shared, eventLoop: channel.eventLoop)
                    )
                }
            }
            .bind(host: host, port: shared.configuration.port)
            .get()
        self.state.withLock { $0.server = server }
    }

    /// Sets what the bootstrap would set with a future for each.
    private static func setOptions(of channel: any Channel, _ configuration: ListenerConfiguration) throws {
        guard let options = channel.syncOptions else {
            throw ChannelError.operationUnsupported
        }
        try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
        // A message of ordinary size comes in one read behind commands of a few octets, and not in pieces.
        try options.setOption(
            .recvAllocator,
            value: AdaptiveRecvByteBufferAllocator(minimum: self.readSize, initial: self.readSize, maximum: 65_536)
        )
        // TLS has a half-close of its own, and waits seconds for the peer's end of it if the socket allows one too.
        try options.setOption(.allowRemoteHalfClosure, value: configuration.tlsMode != .implicit)
        // Replies are short: who has not read so many of them reads none.
        try options.setOption(
            .writeBufferWaterMark,
            value: .init(low: 4_096, high: max(4_096, configuration.limits.outputAhead))
        )
    }

    /// Closes the listening socket; sessions go on.
    package func stopAccepting() async {
        let server = self.state.withLock { state in
            defer { state.server = nil }
            return state.server
        }
        // An error here says that the socket is closed already, which is what was wanted.
        try? await server?.close()
    }

    /// Tells every session 421 at its next safe point, lets running content finish, and cuts what is left after `grace`.
    package func shutdown(grace: Duration) async {
        await self.stopAccepting()
        let channels = self.state.withLock { Array($0.connections.values) }
        for channel in channels {
            channel.pipeline.fireUserInboundEventTriggered(ShutdownEvent())
        }
        let cut = self.group.any()
            .scheduleTask(in: TimeAmount(grace)) {
                for channel in channels {
                    channel.close(promise: nil)
                }
            }
        for channel in channels {
            // However a connection ended, it is gone.
            try? await channel.closeFuture.get()
        }
        cut.cancel()
    }

    private func register(_ channel: any Channel) {
        let key = ObjectIdentifier(channel)
        self.state.withLock { $0.connections[key] = channel }
        channel.closeFuture.whenComplete { [weak self] _ in
            self?.state.withLock { state in
                state.connections[key] = nil
            }
        }
    }
}
