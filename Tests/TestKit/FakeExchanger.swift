import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// An SMTP server on loopback that does what its script says and remembers every octet it was sent.
package final class FakeExchanger: Sendable {
    package struct Message: Sendable, Hashable {
        package var mail: String
        package var recipients: [String]
        /// As it came: with dots stuffed, without the final dot.
        package var raw: [UInt8]

        /// With the stuffed dots taken away.
        package var content: String {
            let text = String(decoding: self.raw, as: UTF8.self)
            return (text.hasPrefix("..") ? String(text.dropFirst()) : text).split(
                separator: "\r\n..",
                omittingEmptySubsequences: false
            ).joined(separator: "\r\n.")
        }
    }

    package struct Record: Sendable {
        package var connections = 0
        /// Command lines in order, over all connections; those inside TLS too.
        package var commands: [String] = []
        package var messages: [Message] = []
        /// What came in clear text, octet by octet.
        package var clearText: [UInt8] = []
        /// Each read of the socket, decrypted.
        package var reads: [String] = []
        package var quits = 0
    }

    package let port: Int
    private let channel: any Channel
    private let state: FakeExchangerState

    private init(channel: any Channel, state: FakeExchangerState) {
        self.channel = channel
        self.port = channel.localAddress?.port ?? 0
        self.state = state
    }

    package var record: Record {
        self.state.record.withLock { $0 }
    }

    /// Runs a server while the body runs.
    package static func run<Result>(
        _ script: FakeExchangerScript = .init(),
        address: String = "127.0.0.1",
        port: Int = 0,
        _ body: (FakeExchanger) async throws -> Result
    ) async throws -> Result {
        let state = FakeExchangerState(script: script)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if script.isImplicitTLS {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: state.context()))
                    } else {
                        try channel.pipeline.syncOperations.addHandler(FakeExchangerTap(state: state))
                    }
                    try channel.pipeline.syncOperations.addHandler(FakeExchangerHandler(state: state))
                }
            }
            .bind(host: address, port: port).get()
        let exchanger = FakeExchanger(channel: channel, state: state)
        do {
            let result = try await body(exchanger)
            try await channel.close()
            return result
        } catch {
            try await channel.close()
            throw error
        }
    }
}

/// What the connections of one server share.
final class FakeExchangerState: Sendable {
    let script: FakeExchangerScript
    let record = Mutex(FakeExchanger.Record())
    private let unused: Mutex<[FakeExchangerScript.Stage: [FakeExchangerScript.Fault]]>

    init(script: FakeExchangerScript) {
        self.script = script
        self.unused = Mutex(script.once)
    }

    func fault(at stage: FakeExchangerScript.Stage) -> FakeExchangerScript.Fault? {
        let once = self.unused.withLock { faults in
            faults[stage]?.isEmpty ?? true ? nil : faults[stage]?.removeFirst()
        }
        return once ?? self.script.always[stage]
    }

    func context() throws -> NIOSSLContext {
        let (chain, secret) = self.script.certificates ?? (TestCertificates.certificate, TestCertificates.privateKey)
        let certificates = try NIOSSLCertificate.fromPEMBytes(Array(chain.utf8))
        let key = try NIOSSLPrivateKey(bytes: Array(secret.utf8), format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: certificates.map { .certificate($0) },
                privateKey: .privateKey(key)
            )
        )
    }
}

/// Notes what comes before TLS is put in front.
final class FakeExchangerTap: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let state: FakeExchangerState

    init(state: FakeExchangerState) {
        self.state = state
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        self.state.record.withLock { $0.clearText += bytes.readableBytesView }
        context.fireChannelRead(data)
    }
}
