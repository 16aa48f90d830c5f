import MailModel
import NIOCore
import NIOPosix
import NIOSSL

/// Connects to the first of several addresses that answers (RFC 8305): each gets a head start over the next.
///
/// Confined to its event loop, hence neither `Sendable` nor locked.
final class Connector {
    /// Adds the handlers of a new channel, before it connects; gives the last of them.
    typealias SetUp = @Sendable (any Channel) throws -> ClientHandler

    struct Connected: Sendable {
        var channel: any Channel
        var handler: NIOLoopBound<ClientHandler>
        var endpoint: SMTPEndpoint
        /// The addresses that failed before.
        var abandoned: [AbandonedEndpoint]
    }

    struct Exhausted: Error, Sendable {
        var abandoned: [AbandonedEndpoint]
    }

    private let eventLoop: any EventLoop
    private let promise: EventLoopPromise<Connected>
    private var waiting: ArraySlice<SMTPEndpoint>
    private var running = 0
    private var abandoned: [AbandonedEndpoint] = []
    private var isDone = false
    private var timer: Scheduled<Void>?
    private let timeout: TimeAmount
    private let setUp: SetUp
    private let headStart = TimeAmount.milliseconds(250)

    private init(
        to endpoints: [SMTPEndpoint],
        timeout: TimeAmount,
        on eventLoop: any EventLoop,
        setUp: @escaping SetUp
    ) {
        self.setUp = setUp
        self.eventLoop = eventLoop
        self.promise = eventLoop.makePromise()
        self.waiting = endpoints[...]
        self.timeout = timeout
    }

    /// Gives a channel whose handlers have been there from its first octet on.
    ///
    /// A server may greet and close in one breath; a handler that came later would not hear it.
    static func connect(
        to endpoints: [SMTPEndpoint],
        timeout: TimeAmount,
        on eventLoop: any EventLoop,
        setUp: @escaping SetUp
    ) async throws -> Connected {
        try await eventLoop.flatSubmit {
            let connector = Connector(to: endpoints, timeout: timeout, on: eventLoop, setUp: setUp)
            connector.startNext()
            return connector.promise.futureResult
        }.get()
    }

    private func startNext() {
        self.timer?.cancel()
        guard !self.isDone, let endpoint = self.waiting.popFirst() else {
            self.failIfExhausted()
            return
        }
        self.running += 1
        guard let address = try? SocketAddress(ipAddress: endpoint.address.description, port: endpoint.port) else {
            self.failed(endpoint, "not an address", .other)
            return
        }
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        let handler = NIOLoopBoundBox<ClientHandler?>(nil, eventLoop: self.eventLoop)
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(self.timeout)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            // Left alone, a channel of short replies would shrink it until the replies to a pipelined envelope take two reads.
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 2_048))
            .channelInitializer { [setUp] channel in
                channel.eventLoop.makeCompletedFuture {
                    handler.value = try setUp(channel)
                }
            }
            .connect(to: address)
            .whenComplete { result in
                bound.value.completed(endpoint, result, handler: handler.value)
            }
        if !self.waiting.isEmpty {
            self.timer = self.eventLoop.scheduleTask(in: self.headStart) {
                bound.value.startNext()
            }
        }
    }

    private func completed(
        _ endpoint: SMTPEndpoint,
        _ result: Result<any Channel, any Error>,
        handler: ClientHandler?
    ) {
        switch result {
        case .success(let channel):
            guard !self.isDone, let handler else {
                channel.close(promise: nil)
                return
            }
            self.isDone = true
            self.timer?.cancel()
            let connected = Connected(
                channel: channel,
                handler: NIOLoopBound(handler, eventLoop: self.eventLoop),
                endpoint: endpoint,
                abandoned: self.abandoned
            )
            self.promise.succeed(connected)
        case .failure(let error):
            self.failed(endpoint, Self.describe(error), Self.cause(of: error))
        }
    }

    private func failed(_ endpoint: SMTPEndpoint, _ reason: String, _ cause: AbandonedEndpoint.Cause) {
        self.running -= 1
        self.abandoned.append(AbandonedEndpoint(endpoint: endpoint, reason: reason, cause: cause))
        self.startNext()
    }

    private func failIfExhausted() {
        guard !self.isDone, self.running == 0, self.waiting.isEmpty else {
            return
        }
        self.isDone = true
        self.promise.fail(Exhausted(abandoned: self.abandoned))
    }

    /// A few words for people.
    static func describe(_ error: any Error) -> String {
        switch error {
        case let error as IOError:
            switch error.errnoCode {
            case ECONNREFUSED: "refused"
            case ECONNRESET: "reset"
            case ENETUNREACH: "network unreachable"
            case EHOSTUNREACH: "host unreachable"
            case ETIMEDOUT: "timed out"
            case EMFILE, ENFILE: "no file descriptors left"
            case let code: "error \(code)"
            }
        case ChannelError.connectTimeout: "timed out"
        case let error as NIOSSLError: Self.describe(error)
        default: String("\(error)".prefix(160))
        }
    }
}

extension Connector {
    private static func cause(of error: any Error) -> AbandonedEndpoint.Cause {
        switch error {
        case let error as IOError:
            switch error.errnoCode {
            case ETIMEDOUT: .silent
            case EMFILE, ENFILE: .local
            default: .other
            }
        case ChannelError.connectTimeout: .silent
        default: .other
        }
    }
}

extension Connector {
    /// The reason in BoringSSL's words, such as `wrong version number`, without where in its source it was found.
    private static func describe(_ error: NIOSSLError) -> String {
        guard case .handshakeFailed(.sslError(let stack)) = error, let first = stack.first else {
            return String("\(error)".prefix(160))
        }
        let text = "\(first)".replacing("Error: ", with: "")
        let reason = text.split(separator: "OPENSSL_internal:").last ?? text[...]
        let words = reason.split(separator: " at ").first ?? reason
        return String(words.replacing("_", with: " ").prefix(160)).lowercased()
    }
}

/// An address that was tried and left.
package struct AbandonedEndpoint: Hashable, Sendable, CustomStringConvertible {
    package enum Cause: Hashable, Sendable {
        /// Nothing came back in time.
        case silent
        /// No file descriptors left.
        case local
        /// Refused, reset, no route: known at once.
        case other
    }

    package var endpoint: SMTPEndpoint
    /// A few words for people.
    package var reason: String
    package var cause: Cause

    package init(endpoint: SMTPEndpoint, reason: String, cause: Cause = .other) {
        self.endpoint = endpoint
        self.reason = reason
        self.cause = cause
    }

    /// `mx1.example[192.0.2.1]:25: refused`.
    package var description: String {
        "\(self.endpoint): \(self.reason)"
    }
}
