import NIOCore
import SMTPProtocol

/// How long to wait at each stage of a dialogue; the deadline of the attempt ends it sooner, but for `commit`, and for
/// content that goes on.
///
/// RFC 5321 §4.5.3.2 says five minutes for most and ten for the final dot. That is for a queue that has one way out; where
/// another one waits, a minute of silence is enough. All can be set.
package struct StageTimeouts: Hashable, Sendable {
    /// TCP, for each address.
    package var connect: Duration = .seconds(10)
    package var tls: Duration = .seconds(20)
    package var greeting: Duration = .seconds(30)
    package var ehlo: Duration = .seconds(30)
    package var auth: Duration = .seconds(30)
    package var mail: Duration = .seconds(60)
    package var rcpt: Duration = .seconds(60)
    /// The 354, and every block of content.
    package var data: Duration = .seconds(120)
    /// The reply to the final dot; a shorter wait makes duplicates (RFC 1047).
    package var commit: Duration = .seconds(600)
    /// The reply to QUIT, on which nothing depends.
    package var quit: Duration = .seconds(5)

    package init() {}

    func wait(at stage: ClientStage) -> TimeAmount {
        let duration =
            switch stage {
            case .connect: self.connect
            case .tls: self.tls
            case .greeting: self.greeting
            case .ehlo: self.ehlo
            case .auth: self.auth
            case .mail: self.mail
            case .rcpt: self.rcpt
            case .data: self.data
            case .commit: self.commit
            }
        return .bounded(duration)
    }
}

extension TimeAmount {
    /// A duration as NIO wants it, between 0 and a day.
    static func bounded(_ duration: Duration) -> TimeAmount {
        let clamped = min(max(duration, .zero), .seconds(86_400))
        let (seconds, attoseconds) = clamped.components
        return .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}

extension NIODeadline {
    /// The same moment on NIO's clock, at most a day away.
    init(_ instant: ContinuousClock.Instant) {
        self = .now() + .bounded(ContinuousClock.now.duration(to: instant))
    }
}
