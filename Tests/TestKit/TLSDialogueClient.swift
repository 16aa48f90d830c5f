import NIOCore
import NIOPosix
import NIOSSL

/// A client that speaks lines over TLS, from the start or after STARTTLS; it trusts any certificate.
package final class TLSDialogueClient: DialoguePeer, Sendable {
    private let channel: any Channel
    private let iterator: LineIterator

    /// Connects to loopback; with `implicit` the handshake comes first.
    package init(port: Int, implicit: Bool) async throws {
        let (lines, continuation) = AsyncStream<String>.makeStream()
        self.channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if implicit {
                        try channel.pipeline.syncOperations.addHandler(Self.tlsHandler())
                    }
                    try channel.pipeline.syncOperations.addHandler(LineCollector(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .get()
        self.iterator = LineIterator(lines)
    }

    /// Begins the handshake; call after the reply to STARTTLS.
    package func startTLS() async throws {
        let channel = self.channel
        try await channel.eventLoop
            .submit {
                try channel.pipeline.syncOperations.addHandler(Self.tlsHandler(), position: .first)
            }
            .get()
    }

    /// The certificate that the server showed, in DER; nil before the handshake.
    package func serverCertificate() async throws -> [UInt8]? {
        try await self.channel.nioSSL_peerCertificate().get()?.toDERBytes()
    }

    package func send(_ octets: [UInt8]) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: octets))
    }

    package func line() async throws -> String? {
        await self.iterator.next()
    }

    /// Sends one command and returns the last line of its reply.
    package func ask(_ command: String) async throws -> String? {
        try await self.send(Array("\(command)\r\n".utf8))
        return try await self.reply()
    }

    /// The last line of the next reply.
    package func reply() async throws -> String? {
        while let line = try await self.line() {
            if line.utf8.dropFirst(3).first != UInt8(ascii: "-") {
                return line
            }
        }
        return nil
    }

    package func close() async throws {
        try await self.channel.close()
    }

    private static func tlsHandler() throws -> NIOSSLClientHandler {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        return try NIOSSLClientHandler(context: NIOSSLContext(configuration: configuration), serverHostname: nil)
    }
}

private actor LineIterator {
    private var iterator: AsyncStream<String>.Iterator

    init(_ lines: AsyncStream<String>) {
        self.iterator = lines.makeAsyncIterator()
    }

    func next() async -> String? {
        var iterator = self.iterator
        defer { self.iterator = iterator }
        return await iterator.next(isolation: self)
    }
}

private final class LineCollector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let continuation: AsyncStream<String>.Continuation
    private var pending = ByteBuffer()

    init(_ continuation: AsyncStream<String>.Continuation) {
        self.continuation = continuation
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var octets = self.unwrapInboundIn(data)
        self.pending.writeBuffer(&octets)
        while let end = self.pending.readableBytesView.firstIndex(of: 10),
            let line = self.pending.readString(length: end + 1 - self.pending.readerIndex)
        {
            // In Swift CRLF is one Character.
            self.continuation.yield(String(line.dropLast()))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.continuation.finish()
    }
}
