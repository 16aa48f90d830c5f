import MailModel
import NIOCore
import NIOEmbedded
import SMTPProtocol
import TestKit
import Testing

@testable import SMTPClient

@Suite("A client's handler, on a channel whose clock and wire are the test's")
struct ClientHandlerTests {
    /// Keeps back what goes out, as a network that is busy, or TLS that says goodbye, does.
    private final class Dam: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer

        var holdsWrites = false
        var holdsClose = false

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            if self.holdsWrites {
                promise.map { context.channel.closeFuture.cascade(to: $0) }
            } else {
                context.write(data, promise: promise)
            }
        }

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            if !self.holdsClose {
                context.close(mode: mode, promise: promise)
            }
        }
    }

    private let channel = EmbeddedChannel()
    private let dam = Dam()
    private let handler: ClientHandler

    init() throws {
        let hop = NextHop(host: "mx.example.test", port: 25, addresses: [], tls: .none, heloName: "gateway.example")
        self.handler = ClientHandler(
            session: ClientSession(.init(name: hop.heloName)),
            hop: hop,
            contexts: TLSContexts(),
            verdict: CertificateVerdict(),
            until: .distantFuture
        )
        try self.channel.pipeline.syncOperations.addHandlers(self.dam, self.handler)
        self.channel.pipeline.fireChannelActive()
    }

    private func hear(_ text: String) throws {
        try self.channel.writeInbound(ByteBuffer(string: text))
    }

    @Test("what comes while the connection is being closed is not kept")
    func floodAfterClose() throws {
        self.dam.holdsClose = true
        try self.hear("220 mx.example.test\r\n")
        try self.hear("999 junk\r\n250 and")
        let junk = String(repeating: "x", count: 100_000)
        for _ in 0..<10 {
            try self.hear(junk)
        }
        #expect(self.handler.received.readableBytes == 0)
    }
}
