import DNSProtocol
import Delivery
import HTTPTransport
import MailModel

/// What it means that no response came, and the few failures that all services share.
enum TransportFailures {
    /// The table for a call that ended without a response.
    static func failure(_ failure: HTTPFailure, secrets: [String]) -> Failure {
        let text = scrubbed(failure.description, of: secrets)
        // What may have been acted on is ambiguous, whatever ended the call.
        if failure.bodySent {
            let reason: Failure.Reason = failure.kind == .cancelled ? .interrupted : .noAnswer
            return Failure(.ambiguous, .provider, .commit, status: .init(4, 4, 2), text: text, reason: reason)
        }
        let row = self.row(failure.kind)
        return Failure(row.persistence, row.scope, row.stage, status: row.status, text: text, reason: row.reason)
    }

    private struct Row {
        var persistence = Failure.Persistence.transient
        var scope = Failure.Scope.provider
        let stage: Failure.Stage
        let status: EnhancedStatusCode
        let reason: Failure.Reason
    }

    private static func row(_ kind: HTTPFailure.Kind) -> Row {
        switch kind {
        case .resolve:
            Row(stage: .resolve, status: .init(4, 4, 3), reason: .dnsUnavailable)
        case .connect:
            Row(stage: .connect, status: .init(4, 4, 1), reason: .connectionFailed)
        case .tls:
            Row(stage: .tls, status: .init(4, 7, 5), reason: .tlsFailed)
        case .send, .connectionLost:
            Row(stage: .data, status: .init(4, 4, 2), reason: .connectionLost)
        case .timeout:
            Row(stage: .data, status: .init(4, 4, 2), reason: .timeout)
        case .responseTooLarge:
            Row(stage: .data, status: .init(4, 5, 0), reason: .protocolError)
        case .prohibited:
            // A lying resolver can cause it, so it is not held against the configuration for ever.
            Row(stage: .connect, status: .init(4, 4, 4), reason: .prohibitedAddress)
        case .invalidRequest:
            Row(persistence: .permanent, stage: .connect, status: .init(5, 3, 5), reason: .misconfigured)
        case .unreadable:
            Row(scope: .local, stage: .data, status: .init(4, 3, 0), reason: .localTrouble)
        case .cancelled:
            Row(scope: .local, stage: .connect, status: .init(4, 3, 2), reason: .interrupted)
        }
    }

    /// No API takes over the promise that every further hop is protected (RFC 8689 §4.2.1).
    static func requireTLSNotSupported(_ host: String) -> Failure {
        Failure(
            .permanent,
            .capability,
            .mail,
            status: .init(5, 7, 30),
            text: "\(host) cannot promise REQUIRETLS",
            reason: .notSupported
        )
    }

    /// The service's own name could not be resolved; the resolver's words say why.
    static func unresolved(_ host: String, _ lookup: Lookup<IPAddress>) -> Failure {
        switch lookup {
        case .unavailable(let unavailability):
            self.resolve(unavailability.description, status: .init(4, 4, 3), reason: .dnsUnavailable)
        case .noSuchName:
            self.resolve("\(host) does not exist", status: .init(4, 4, 4), reason: .noSuchDomain)
        case .noData, .records:
            self.resolve("\(host) has no address", status: .init(4, 4, 4), reason: .noAddress)
        }
    }

    private static func resolve(_ text: String, status: EnhancedStatusCode, reason: Failure.Reason) -> Failure {
        Failure(.transient, .provider, .resolve, status: status, text: scrubbed(text, of: []), reason: reason)
    }

    static func outOfTime(_ stage: Failure.Stage) -> Failure {
        Failure(
            .transient,
            .provider,
            stage,
            status: .init(4, 4, 7),
            text: "the time for this attempt was over before the request was sent",
            reason: .timeout
        )
    }

    /// For recipients whose call was not made, since the one before it brought no answer.
    static func notTried(after failure: Failure) -> Failure {
        Failure(
            .transient,
            .provider,
            .data,
            status: .init(4, 4, 2),
            text: "not sent, since the call before brought no answer: \(failure.text)",
            reason: failure.reason
        )
    }

    /// The service may have the message and does not tell yet: nothing is sent, and nothing is held against it.
    static func notToldYet(_ wait: Duration) -> Failure {
        Failure(
            .transient,
            .local,
            .data,
            status: .init(4, 4, 2),
            text: "it may have been accepted, and the service tells only after a while; it is asked again first",
            reason: .noAnswer,
            retryAfter: wait
        )
    }

    static let interrupted = Failure(
        .transient,
        .local,
        .data,
        status: .init(4, 3, 2),
        text: "the gateway was stopped before the request was sent",
        reason: .interrupted
    )

    static let notRecorded = Failure(
        .transient,
        .local,
        .data,
        status: .init(4, 3, 0),
        text: "the attempt could not be recorded, so nothing was sent",
        reason: .localTrouble
    )

    /// More single calls would be needed to find the refused recipients than one attempt may make.
    static let tooManyCalls = Failure(
        .transient,
        .recipient,
        .rcpt,
        status: .init(4, 5, 3),
        text: "not asked for in this attempt, since other recipients of the message were refused",
        reason: .recipientDeferred
    )
}
