import Logging
import MailModel
import NIOCore
import NIOPosix
import NIOSSL

/// What all connections of a listener share.
struct ListenerContext: Sendable {
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
