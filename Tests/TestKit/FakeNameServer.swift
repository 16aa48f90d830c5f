import NIOCore
package import NIOPosix
import NIOSSL
import Synchronization

/// A name server on loopback, UDP and TCP at one port, that errs as it is told; good ones are played by real servers.
package final class FakeNameServer: Sendable {
    package enum Behaviour: Hashable, Sendable {
        /// Says what its zone says.
        case honest
        /// Answers with this response code and nothing else.
        case code(UInt8)
        case silent
        /// Silence to every query for a name that ends so; honest else.
        case silentOn(String)
        /// Says over UDP that the answer is truncated, and gives it over TCP.
        case truncates
        /// Says over UDP that the answer is truncated, and closes TCP in mid-answer.
        case truncatesAndBreaksOff
        /// Closes a connection after each answer; over UDP as honest as any.
        case closesAfterAnswer
        /// Octets that are no message behind the right identifier.
        case garbage
        /// FORMERR to every query with EDNS.
        case rejectsEDNS
        /// FORMERR to every query with EDNS; answers come over TCP only.
        case rejectsEDNSAndTruncates
        /// SERVFAIL, unless the question is for what does not validate, too (RFC 4035 §3.2.2).
        case findsBogus
        /// SERVFAIL with a reason (RFC 8914).
        case fails(because: UInt8)
        /// Silence to every query with EDNS.
        case ignoresEDNS
        /// Repeats the question in lower case.
        case foldsCase
        /// Answers each query over UDP only once the next one is there, as a slow server seems to.
        indirect case holdsBack(Behaviour)
        /// Forged answers first, then the right one.
        case afterForgeries([Forgery])
    }

    package enum Forgery: Hashable, Sendable, CaseIterable {
        case wrongID, wrongName, wrongType, wrongCase, query
    }

    package enum Record: Hashable, Sendable {
        case address(UInt32)
        case exchanger(UInt16, String)
        case text(String)
        /// A CNAME record; what follows it belongs to its target.
        case alias(String)
        case association([UInt8])
    }

    struct State {
        var behaviour: Behaviour
        var questions: [String] = []
        var isAuthenticated = false
        var connections = 0
    }

    /// Event loops of its own, also for the resolvers that ask: those that all share may be busy with megabytes of others.
    package static let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)

    package let port: Int
    private let desk: FakeNameServerDesk

    private init(port: Int, desk: FakeNameServerDesk) {
        self.port = port
        self.desk = desk
    }

    /// What was asked, in order: `udp MX shop.test`, `tcp A mx.shop.test`, in lower case.
    package var questions: [String] {
        self.desk.state.withLock { $0.questions }
    }

    /// The answer to a query as it would come over TCP; nil for silence.
    package func answer(to query: [UInt8]) -> [UInt8]? {
        self.desk.answers(to: query, overTCP: true).last
    }

    /// How often somebody has connected.
    package var connections: Int {
        self.desk.state.withLock { $0.connections }
    }

    package func behave(_ behaviour: Behaviour) {
        self.desk.state.withLock { $0.behaviour = behaviour }
    }

    /// Whether its answers carry the AD bit from now on (RFC 4035 §3.2.3).
    package func authenticate(_ isAuthenticated: Bool = true) {
        self.desk.state.withLock { $0.isAuthenticated = isAuthenticated }
    }

    /// Runs a server while the body runs; the zone is keyed by type and name, such as `MX shop.test`.
    ///
    /// An encrypted one speaks TLS on its connections, with the certificate of `TestCertificates`.
    package static func run<Result>(
        _ behaviour: Behaviour = .honest,
        zone: [String: [Record]] = [:],
        isEncrypted: Bool = false,
        host: String = "127.0.0.1",
        _ body: (FakeNameServer) async throws -> Result
    ) async throws -> Result {
        let desk = FakeNameServerDesk(zone: zone, state: State(behaviour: behaviour))
        let (stream, datagram) = try await self.bind(desk, host, isEncrypted ? self.context() : nil)
        let port = stream.localAddress?.port ?? 0
        let result: Swift.Result<Result, any Error>
        do {
            result = .success(try await body(FakeNameServer(port: port, desk: desk)))
        } catch {
            result = .failure(error)
        }
        try await stream.close()
        try await datagram.close()
        return try result.get()
    }

    /// Both sockets at one port, which must be free for both: another process may hold it for UDP.
    private static func bind(
        _ desk: FakeNameServerDesk,
        _ host: String,
        _ context: NIOSSLContext?
    ) async throws -> (any Channel, any Channel) {
        var attempts = 20
        while true {
            let stream = try await ServerBootstrap(group: self.group)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let context {
                            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                        }
                        try channel.pipeline.syncOperations.addHandler(StreamHandler(desk: desk))
                    }
                }
                .bind(host: host, port: 0).get()
            do {
                let datagram = try await DatagramBootstrap(group: self.group)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(DatagramHandler(desk: desk))
                        }
                    }
                    .bind(host: host, port: stream.localAddress?.port ?? 0).get()
                return (stream, datagram)
            } catch {
                try await stream.close()
                attempts -= 1
                guard attempts > 0 else {
                    throw error
                }
            }
        }
    }

    private static func context() throws -> NIOSSLContext {
        let certificate = try NIOSSLCertificate(bytes: Array(TestCertificates.certificate.utf8), format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(certificate)],
                privateKey: .privateKey(
                    NIOSSLPrivateKey(bytes: Array(TestCertificates.privateKey.utf8), format: .pem)
                )
            )
        )
    }

    private final class DatagramHandler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        typealias OutboundOut = AddressedEnvelope<ByteBuffer>
        private let desk: FakeNameServerDesk
        private var heldBack: [OutboundOut] = []

        init(desk: FakeNameServerDesk) {
            self.desk = desk
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = self.unwrapInboundIn(data)
            let replies = self.desk.answers(to: Array(envelope.data.readableBytesView), overTCP: false).map {
                AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: $0))
            }
            let due = self.desk.holdsBack ? self.heldBack : replies
            self.heldBack = replies
            due.forEach { context.writeAndFlush(self.wrapOutboundOut($0), promise: nil) }
        }
    }

    private final class StreamHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private let desk: FakeNameServerDesk
        private var received: [UInt8] = []

        init(desk: FakeNameServerDesk) {
            self.desk = desk
        }

        func channelActive(context: ChannelHandlerContext) {
            self.desk.state.withLock { $0.connections += 1 }
            context.fireChannelActive()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.received += self.unwrapInboundIn(data).readableBytesView
            while self.received.count >= 2 {
                let length = Int(self.received[0]) << 8 | Int(self.received[1])
                guard self.received.count >= 2 + length else {
                    return
                }
                let query = Array(self.received[2..<2 + length])
                self.received.removeFirst(2 + length)
                for answer in self.desk.answers(to: query, overTCP: true) {
                    var output = ByteBuffer(integer: UInt16(answer.count))
                    output.writeBytes(self.desk.breaksOff ? answer.dropLast(3)[...] : answer[...])
                    context.writeAndFlush(self.wrapOutboundOut(output), promise: nil)
                }
                if self.desk.breaksOff || self.desk.closesAfterAnswer {
                    context.close(promise: nil)
                }
            }
        }
    }
}
