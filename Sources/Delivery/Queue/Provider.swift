/// One way out of the gateway; makes one attempt and never retries, sleeps or touches the store.
package protocol Provider: Sendable {
    /// The name the operator gave it; it appears in logs, metrics and attempt records.
    var name: String { get }
    /// How recipients may share an attempt.
    var grouping: RecipientGrouping { get }
    /// Whether a message without a sender arrives as one; other ways show their next hop the From field alone.
    var carriesNullReversePath: Bool { get }
    /// Tries once and returns one outcome for each recipient; never throws, since a failure is a result to be recorded.
    ///
    /// Calls `beforeCommit` exactly once before the stage `commit` (the final dot, the HTTP body), so that the store
    /// knows of any attempt with an outside effect. When `beforeCommit` throws, nothing more is sent and all recipients
    /// fail with scope `local`. Ends by `deadline` with stage and reason of where it stood; only
    /// content that is going out steadily, and the wait for the answer to it, may last longer, unless it is cancelled.
    func attempt(
        _ message: QueuedMessage,
        to recipients: [Recipient],
        deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> AttemptReport

    /// Forgets what earlier attempts taught about the world, as when an operator has mended the network.
    func forget()

    /// Calls the next hop, logs in where a login is configured, and leaves without sending anything.
    ///
    /// Nil where there is no one next hop to call.
    func probe(until deadline: ContinuousClock.Instant) async -> ProviderProbe?
}

extension Provider {
    /// As every SMTP hop does.
    package var carriesNullReversePath: Bool { true }

    /// Most providers learn nothing.
    package func forget() {}

    package func probe(until deadline: ContinuousClock.Instant) async -> ProviderProbe? {
        nil
    }
}

/// Which recipients of a message may go in one attempt.
package enum RecipientGrouping: Hashable, Sendable {
    /// Those of one domain, since each domain has exchangers of its own.
    case byDomain
    /// All together.
    case together
}
