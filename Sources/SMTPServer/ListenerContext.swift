import Logging
import MailModel
import NIOCore
import NIOPosix
import NIOSSL

/// What all connections of a listener share.
final class ListenerContext: Sendable {
    let configuration: ListenerConfiguration
    /// Asked for each handshake, so that certificates can be replaced while running.
    let tls: @Sendable () -> NIOSSLContext?
    let sink: any SubmissionSink
    let authenticator: (any Authenticator)?
    let bounds: SharedBounds
    let clock: @Sendable () -> Timestamp
    let pool: NIOThreadPool
    let logger: Logger
    let events: @Sendable (ServerEvent) -> Void

    init(
        configuration: ListenerConfiguration,
        tls: @escaping @Sendable () -> NIOSSLContext?,
        sink: any SubmissionSink,
        authenticator: (any Authenticator)?,
        bounds: SharedBounds,
        clock: @escaping @Sendable () -> Timestamp,
        pool: NIOThreadPool,
        logger: Logger,
        events: @escaping @Sendable (ServerEvent) -> Void
    ) {
        self.configuration = configuration
        self.tls = tls
        self.sink = sink
        self.authenticator = authenticator
        self.bounds = bounds
        self.clock = clock
        self.pool = pool
        self.logger = logger
        self.events = events
    }
}

/// What happens at a listener, for metrics.
package enum ServerEvent: Hashable, Sendable {
    case connected
    case disconnected
    case connectionRefused
    case relayDenied
    case authenticationFailed
    case accepted(size: Int, recipients: Int)
    case submissionRefused
}

/// Sent down the pipeline of every connection when the listener shuts down.
struct ShutdownEvent: Sendable {}

/// Makes text of a peer fit for one line of a log.
func escaped(_ text: String) -> String {
    var text = text
    guard text.withUTF8({ $0.contains { $0 < 0x20 || $0 > 0x7E } }) else {
        return text
    }
    var line = ""
    for scalar in text.unicodeScalars {
        let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        line += isControl ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
    }
    return line
}
