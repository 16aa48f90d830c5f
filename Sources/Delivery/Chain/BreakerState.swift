package import MailModel

/// What a breaker guards: a provider, or a provider for one sender domain or one destination.
package struct BreakerKey: Hashable, Sendable, Codable, CustomStringConvertible {
    package enum Part: Hashable, Sendable, Codable {
        case whole
        /// Mail from one domain; `<>` for reports, which come from none.
        case senderDomain(String)
        case destination(String)
    }

    package var provider: String
    package var part: Part

    package init(provider: String, part: Part = .whole) {
        self.provider = provider
        self.part = part
    }

    /// `gmail`, `sendgrid from example.org`, `direct to example.com`.
    package var description: String {
        switch self.part {
        case .whole: self.provider
        case .senderDomain(let domain): "\(self.provider) from \(domain)"
        case .destination(let domain): "\(self.provider) to \(domain)"
        }
    }
}

/// A breaker that is not closed, as it is kept in the store.
package struct BreakerState: Hashable, Sendable {
    /// Until when nothing is sent this way; nil: until the configuration changes, a probe succeeds or an operator closes it.
    package var openUntil: Timestamp?
    package var openedAt: Timestamp
    /// How often it has opened in a row, for the backoff.
    package var openings: Int
    package var reason: Failure.Reason
    /// For people: the reply or error that opened it.
    package var text: String
    /// Whether the other side said until when, and not our backoff.
    package var isEndTold: Bool

    package init(
        openUntil: Timestamp?,
        openedAt: Timestamp,
        openings: Int,
        reason: Failure.Reason,
        text: String,
        isEndTold: Bool = false
    ) {
        self.openUntil = openUntil
        self.openedAt = openedAt
        self.openings = openings
        self.reason = reason
        self.text = text
        self.isEndTold = isEndTold
    }
}

extension Failure {
    /// Stands for an attempt that a breaker made unnecessary: leads to the next provider, and blames the message for nothing.
    init(leftAlone key: BreakerKey, _ state: BreakerState) {
        let scope: Scope =
            switch key.part {
            case .whole: .provider
            case .senderDomain: .sender
            case .destination: .destination
            }
        self.init(
            .transient,
            scope,
            .connect,
            status: EnhancedStatusCode(4, 4, 1),
            text: "\(key) is left alone for now: \(state.text)",
            reason: state.reason
        )
    }
}
