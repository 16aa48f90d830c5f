import MailModel
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Knocks at a TCP port, hears what an SMTP server says first, and leaves by its rules.
enum PortProbe {
    /// What was heard.
    struct Heard: Hashable, Sendable {
        var state: PortState
        /// Our own address as the server sees it, where its reply to EHLO tells.
        var ownAddress: IPAddress?
    }

    private static let connectTimeout = TimeAmount.seconds(4)
    private static let dialogueTimeout = TimeAmount.seconds(5)

    /// Connects; with `heloName` waits for a greeting, says EHLO and QUIT.
    static func knock(
        at address: IPAddress,
        port: Int,
        heloName: String?,
        on group: any EventLoopGroup
    ) async -> Heard {
        let promise = group.next().makePromise(of: Heard.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: promise.futureResult.eventLoop)
                .connectTimeout(self.connectTimeout)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = GreetingHandler(promise: promise, heloName: heloName ?? "")
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .connect(to: try SocketAddress(ipAddress: address.description, port: port)).get()
        } catch {
            let state = Self.state(error)
            promise.succeed(Heard(state: state))
            return Heard(state: state)
        }
        guard heloName != nil else {
            promise.succeed(Heard(state: .open(banner: nil)))
            channel.close(promise: nil)
            return Heard(state: .open(banner: nil))
        }
        let timer = channel.eventLoop.scheduleTask(in: self.dialogueTimeout) {
            channel.close(promise: nil)
        }
        defer { timer.cancel() }
        // Never fails: the handler tells what it heard when the channel closes.
        return (try? await promise.futureResult.get()) ?? Heard(state: .mute)
    }

    private static func state(_ error: any Error) -> PortState {
        switch error {
        case ChannelError.connectTimeout: return .silent
        case let error as IOError: return Self.state(error.errnoCode)
        case let error as NIOConnectionError:
            guard let first = error.connectionErrors.first?.error else {
                return .unreachable("no address")
            }
            return Self.state(first)
        default: return .unreachable(String("\(error)".prefix(80)))
        }
    }

    private static func state(_ code: CInt) -> PortState {
        switch code {
        case ECONNREFUSED: .refused
        case ETIMEDOUT: .silent
        default: .unreachable(String(cString: strerror(code)))
        }
    }
}

/// Waits for the greeting, says EHLO, and after its reply QUIT; confined to its event loop.
private final class GreetingHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A server that says more than this before its greeting is over is not listened to.
    private static let limit = 16_384

    private let promise: EventLoopPromise<PortProbe.Heard>
    private let heloName: String
    private var received = ""
    private var heard: PortProbe.Heard?
    private var greeting: String?

    init(promise: EventLoopPromise<PortProbe.Heard>, heloName: String) {
        self.promise = promise
        self.heloName = heloName
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received += String(buffer: self.unwrapInboundIn(data))
        guard self.received.utf8.count <= Self.limit else {
            context.close(promise: nil)
            return
        }
        guard let lines = self.takeReply() else {
            return
        }
        if self.greeting == nil {
            self.greeting = lines.first
            self.heard = .init(state: .open(banner: lines.first.map { String($0.prefix(80)) }))
            self.say("EHLO \(self.heloName)\r\n", context)
        } else {
            self.heard?.ownAddress = lines.first.flatMap(Self.address)
            self.say("QUIT\r\n", context)
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.promise.succeed(self.heard ?? .init(state: .mute))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// The lines of a whole reply, once it is there.
    private func takeReply() -> [String]? {
        var lines: [String] = []
        var rest = self.received[...]
        while let end = rest.firstIndex(where: \.isNewline) {
            let line = rest[..<end]
            lines.append(String(line))
            rest = rest[rest.index(after: end)...]
            if line.dropFirst(3).first != "-" {
                self.received = String(rest)
                return lines
            }
        }
        return nil
    }

    private func say(_ text: String, _ context: ChannelHandlerContext) {
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }

    /// The address in `250-smtp.gmail.com at your service, [203.0.113.9]`.
    private static func address(_ line: String) -> IPAddress? {
        guard let open = line.lastIndex(of: "["), let close = line[open...].firstIndex(of: "]") else {
            return nil
        }
        return IPAddress(String(line[line.index(after: open)..<close]))
    }
}
