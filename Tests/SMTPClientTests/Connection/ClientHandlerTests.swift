import Delivery
import Foundation
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
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 25)).wait()
    }

    private func hear(_ text: String) throws {
        try self.channel.writeInbound(ByteBuffer(string: text))
    }

    /// Goes as far as the content, in an attempt that has so much time.
    private func reachContent(within time: TimeAmount) throws {
        try self.hear("220 mx.example.test\r\n")
        try self.hear("250 mx.example.test\r\n")
        let mail = MailTransaction(
            reversePath: .null,
            forwardPaths: SampleMail.recipients(["a@example.com"]).map(\.forwardPath),
            size: 10,
            isEightBit: false
        )
        self.handler.begin(mail, until: self.channel.embeddedEventLoop.now + time)
        for reply in ["250 ok", "250 ok", "354 go"] {
            try self.hear(reply + "\r\n")
        }
        guard case .sendContent? = self.handler.takeEvent() else {
            throw Unexpected()
        }
    }

    private struct Unexpected: Error {}

    private func send(octets: Int, isLast: Bool) {
        let content = ByteBuffer(repeating: 0x61, count: octets)
        self.handler.send(content: content, isLast: isLast, promise: nil)
    }

    /// What became of the one recipient; nil while that is open.
    private func result() -> RecipientResult? {
        if case .finished(let results)? = self.handler.takeEvent() { results.first } else { nil }
    }

    @Test("the answer to the final dot has the time of its stage, however little the attempt has left (RFC 1047)")
    func patientCommit() throws {
        try self.reachContent(within: .seconds(5))
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(4))
        self.send(octets: 10, isLast: true)
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(599))
        try self.hear("250 queued\r\n")
        #expect(self.result() == .accepted(Reply(250, nil, "queued")))
    }

    @Test("the wait for the answer to the final dot has an end, and leaves a doubt")
    func endOfCommit() throws {
        try self.reachContent(within: .seconds(5))
        self.send(octets: 10, isLast: true)
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(600))
        #expect(self.result() == .failed(.init(.commit, .timeout, mayHaveBeenAccepted: true)))
    }

    @Test("a cancellation ends the wait for the answer to the final dot")
    func cancelledCommit() throws {
        try self.reachContent(within: .seconds(5))
        self.send(octets: 10, isLast: true)
        self.handler.cancel()
        #expect(self.result()?.failure?.mayHaveBeenAccepted == true)
    }

    @Test("a final dot that never left us leaves no doubt, whether time ends or the connection breaks")
    func dotHeldBack() throws {
        for isBroken in [false, true] {
            let test = try Self()
            try test.reachContent(within: .seconds(5))
            test.dam.holdsWrites = true
            test.send(octets: 10, isLast: true)
            if isBroken {
                test.channel.pipeline.fireErrorCaught(IOError(errnoCode: ECONNRESET, reason: "read"))
            } else {
                test.channel.embeddedEventLoop.advanceTime(by: .seconds(600))
            }
            let failure = try #require(test.result()?.failure)
            #expect(failure.stage == .commit && !failure.mayHaveBeenAccepted)
        }
    }

    @Test("content that goes on steadily outlasts its attempt, until it stops")
    func steadyContent() throws {
        try self.reachContent(within: .seconds(60))
        for _ in 0..<30 {
            self.send(octets: 131_072, isLast: false)
            self.channel.embeddedEventLoop.advanceTime(by: .seconds(20))
            #expect(self.channel.isActive)
        }
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(400))
        #expect(self.result() == .failed(.init(.data, .timeout)))
    }

    @Test("content that creeps ends with its attempt")
    func creepingContent() throws {
        try self.reachContent(within: .seconds(60))
        self.send(octets: 131_072, isLast: false)
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(50))
        self.send(octets: 1_024, isLast: false)
        #expect(self.channel.isActive)
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(10))
        #expect(self.result() == .failed(.init(.data, .timeout)))
    }

    @Test("a kept connection is out of the pool with its QUIT, and closed soon where that is not answered")
    func quits() throws {
        try self.hear("220 mx.example.test\r\n")
        try self.hear("250 mx.example.test\r\n")
        let told = ClientFixture.Counter()
        self.handler.park(for: .seconds(30)) { told.add() }
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(29))
        #expect(told.value == 0)
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(told.value == 1)
        var written = ""
        while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) {
            written += String(buffer: buffer)
        }
        #expect(written == "EHLO gateway.example\r\nQUIT\r\n")
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(5))
        #expect(!self.channel.isActive)
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
