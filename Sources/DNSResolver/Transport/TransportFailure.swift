/// Why one exchange with one source brought no message.
enum TransportFailure: Error, Hashable, Sendable {
    case timeout
    /// ECONNREFUSED, by ICMP or by a reset: nobody listens there.
    case portClosed
    /// No route, no such family, no descriptor: the local system's word.
    case unreachable(String)
    /// A TCP peer closed before the whole answer was there.
    case connectionLost
    /// A DNS over HTTPS request failed; the text is safe for records.
    case https(String)

    /// The word for observations.
    func summary(after elapsed: Duration) -> String {
        switch self {
        case .timeout: "no answer"
        case .portClosed: "port closed"
        case .unreachable(let text): text
        case .connectionLost: "connection lost"
        case .https(let text): text
        }
    }
}
