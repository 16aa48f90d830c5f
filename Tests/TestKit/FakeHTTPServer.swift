import Crypto
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// An HTTPS server on loopback, HTTP/1.1, with the certificate of `TestCertificates`, that does what its script says.
package final class FakeHTTPServer: Sendable {
    package enum Answer: Hashable, Sendable {
        /// This status, these header lines, this body.
        case reply(Int, headers: [String] = [], body: String = "ok")
        /// Reads the request and never answers.
        case hang
        /// The header section of a longer body, then nothing more.
        case hangInBody
        /// Reads the request and closes.
        case close
        /// Closes after the beginning of the body.
        case closeInBody
        /// Resets the connection after the beginning of the body.
        case resetInBody
        /// Stops reading with the header section of the request.
        case stopReading
        /// A good response, or the beginning of one, before the body of the request is read, then nothing more.
        case acceptInRequest(isWhole: Bool)
        /// Closes while the request is being read.
        case closeInRequest
        /// A header section without end.
        case endlessHeader
        /// A body without end.
        case endlessBody
    }

    package struct Record: Sendable {
        package var connections = 0
        package var closedConnections = 0
        package var requests: [Request] = []
    }

    package struct Request: Sendable, Hashable {
        /// The request line and the header fields.
        package var head: [String]
        package var bodySize: Int
        /// The SHA-256 of the body.
        package var bodyHash: [UInt8]
    }

    package let port: Int
    private let state: State

    final class State: Sendable {
        let answer: @Sendable (Int) -> Answer
        let record = Mutex(Record())

        init(answer: @escaping @Sendable (Int) -> Answer) {
            self.answer = answer
        }
    }

    private init(port: Int, state: State) {
        self.port = port
        self.state = state
    }

    package var record: Record {
        self.state.record.withLock { $0 }
    }

    /// Runs a server while the body runs; `answer` is asked with the number of the request, from 0.
    ///
    /// Port 0 lets the system choose.
    package static func run<Result>(
        _ answer: @escaping @Sendable (Int) -> Answer = { _ in .reply(200) },
        host: String = "127.0.0.1",
        port: Int = 0,
        _ body: (FakeHTTPServer) async throws -> Result
    ) async throws -> Result {
        let state = State(answer: answer)
        let certificate = try NIOSSLCertificate(bytes: Array(TestCertificates.certificate.utf8), format: .pem)
        let key = try NIOSSLPrivateKey(bytes: Array(TestCertificates.privateKey.utf8), format: .pem)
        let context = try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(certificate)],
                privateKey: .privateKey(key)
            )
        )
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    try channel.pipeline.syncOperations.addHandler(FakeHTTPHandler(state: state))
                }
            }
            .bind(host: host, port: port).get()
        let server = FakeHTTPServer(port: channel.localAddress?.port ?? 0, state: state)
        do {
            let result = try await body(server)
            try await channel.close()
            return result
        } catch {
            try await channel.close()
            throw error
        }
    }

    /// The hash by which a body is known again.
    package static func hash(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        Array(SHA256.hash(data: Array(bytes)))
    }
}

/// One connection of a `FakeHTTPServer`.
private final class FakeHTTPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let state: FakeHTTPServer.State
    private var headBytes: [UInt8] = []
    private var request: FakeHTTPServer.Request?
    private var left = 0
    private var hasher = SHA256()
    private var number = 0

    init(state: FakeHTTPServer.State) {
        self.state = state
    }

    func channelActive(context: ChannelHandlerContext) {
        self.state.record.withLock { $0.connections += 1 }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.state.record.withLock { $0.closedConnections += 1 }
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data).readableBytesView[...]
        while !bytes.isEmpty {
            if self.request == nil {
                self.readHead(&bytes, context)
            } else {
                self.readBody(&bytes)
            }
            if let request = self.request, self.left == 0 {
                self.request = nil
                let hash = Array(self.hasher.finalize())
                self.hasher = SHA256()
                self.state.record.withLock { record in
                    record.requests[self.number] = request
                    record.requests[self.number].bodyHash = hash
                }
                self.answer(context)
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func readHead(_ bytes: inout ByteBufferView.SubSequence, _ context: ChannelHandlerContext) {
        while let byte = bytes.popFirst() {
            self.headBytes.append(byte)
            guard self.headBytes.suffix(4) == [0x0D, 0x0A, 0x0D, 0x0A] else {
                continue
            }
            let lines = String(decoding: self.headBytes, as: UTF8.self).split(separator: "\r\n").map(String.init)
            self.headBytes = []
            let length = lines.first { $0.lowercased().hasPrefix("content-length:") }
            self.left = length.flatMap { Int($0.dropFirst("content-length:".count).filter(\.isNumber)) } ?? 0
            let request = FakeHTTPServer.Request(head: lines, bodySize: 0, bodyHash: [])
            self.request = request
            self.number = self.state.record.withLock { record in
                record.requests.append(request)
                return record.requests.count - 1
            }
            self.answerHead(&bytes, context)
            return
        }
    }

    private func answerHead(_ bytes: inout ByteBufferView.SubSequence, _ context: ChannelHandlerContext) {
        switch self.state.answer(self.number) {
        case .closeInRequest:
            context.close(promise: nil)
        case .stopReading:
            context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
        case .acceptInRequest(let isWhole):
            context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
            self.write("HTTP/1.1 202 X\r\nContent-Length: \(isWhole ? 9 : 100)\r\n\r\nbeginning", context)
        default:
            return
        }
        bytes = bytes.suffix(0)
    }

    private func readBody(_ bytes: inout ByteBufferView.SubSequence) {
        let part = bytes.prefix(self.left)
        self.request?.bodySize += part.count
        part.withUnsafeBytes { self.hasher.update(bufferPointer: $0) }
        self.left -= part.count
        bytes = bytes.dropFirst(part.count)
    }

    private func answer(_ context: ChannelHandlerContext) {
        switch self.state.answer(self.number) {
        case .reply(let status, let headers, let body):
            let lines = ["HTTP/1.1 \(status) X", "Content-Length: \(body.utf8.count)"] + headers
            self.write(lines.joined(separator: "\r\n") + "\r\n\r\n" + body, context)
        case .hang:
            break
        case .hangInBody:
            self.write("HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nbeginning", context)
        case .close:
            context.close(promise: nil)
        case .closeInBody:
            self.write("HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nbeginning", context)
            context.close(promise: nil)
        case .resetInBody:
            self.write("HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nbeginning", context)
            self.reset(context)
        case .closeInRequest, .stopReading, .acceptInRequest:
            break
        case .endlessHeader:
            self.write("HTTP/1.1 200 X\r\n", context)
            self.flood("X-Filler: \(String(repeating: "x", count: 8_000))\r\n", context)
        case .endlessBody:
            self.write("HTTP/1.1 200 X\r\nConnection: close\r\n\r\n", context)
            self.flood(String(repeating: "x", count: 64_000), context)
        }
    }

    /// Ends the connection below TLS, so that the client sees neither its end nor that of TCP.
    private func reset(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let socket = context.channel as? any SocketOptionProvider
        socket?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in
            let pipeline = bound.value.pipeline.syncOperations
            if let below = try? pipeline.context(handlerType: NIOSSLServerHandler.self) {
                below.close(promise: nil)
            }
        }
    }

    /// Writes the same again and again, until the client has had enough.
    private func flood(_ text: String, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text))).whenSuccess {
            bound.value.0.flood(text, bound.value.1)
        }
    }

    private func write(_ text: String, _ context: ChannelHandlerContext) {
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }
}
