import MailModel
import NIOCore
import NIOPosix

/// Connects to the first of several addresses that answers (RFC 8305): each gets a head start over the next.
///
/// Confined to its event loop, hence neither `Sendable` nor locked.
final class Connector {
    struct Connected: Sendable {
        var channel: any Channel
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
    private let headStart = TimeAmount.milliseconds(250)

    private init(to endpoints: [SMTPEndpoint], timeout: TimeAmount, on eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        self.promise = eventLoop.makePromise()
        self.waiting = endpoints[...]
        self.timeout = timeout
    }

    /// Gives a channel that reads nothing yet, so that its handlers can be added in peace.
    static func connect(
        to endpoints: [SMTPEndpoint],
        timeout: TimeAmount,
        on eventLoop: any EventLoop
    ) async throws -> Connected {
        try await eventLoop.flatSubmit {
            let connector = Connector(to: endpoints, timeout: timeout, on: eventLoop)
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
            self.failed(endpoint, "not an address")
            return
        }
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(self.timeout)
            .channelOption(.autoRead, value: false)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .connect(to: address)
            .whenComplete { result in
                bound.value.completed(endpoint, result)
            }
        if !self.waiting.isEmpty {
            self.timer = self.eventLoop.scheduleTask(in: self.headStart) {
                bound.value.startNext()
            }
        }
    }

    private func completed(_ endpoint: SMTPEndpoint, _ result: Result<any Channel, any Error>) {
        switch result {
        case .success(let channel) where self.isDone:
            channel.close(promise: nil)
        case .success(let channel):
            self.isDone = true
            self.timer?.cancel()
            self.promise.succeed(Connected(channel: channel, endpoint: endpoint, abandoned: self.abandoned))
        case .failure(let error):
            self.failed(endpoint, Self.describe(error))
        }
    }

    private func failed(_ endpoint: SMTPEndpoint, _ reason: String) {
        self.running -= 1
        self.abandoned.append(AbandonedEndpoint(endpoint: endpoint, reason: reason))
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
        default: String("\(error)".prefix(160))
        }
    }
}

/// An address that was tried and left.
package struct AbandonedEndpoint: Hashable, Sendable, CustomStringConvertible {
    package var endpoint: SMTPEndpoint
    package var reason: String

    package init(endpoint: SMTPEndpoint, reason: String) {
        self.endpoint = endpoint
        self.reason = reason
    }

    /// `mx1.example[192.0.2.1]:25: refused`.
    package var description: String {
        "\(self.endpoint): \(self.reason)"
    }
}
