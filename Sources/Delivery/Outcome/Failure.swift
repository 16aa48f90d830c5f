package import MailModel

/// Why an attempt did not deliver to a recipient, in the one vocabulary that every provider maps to.
///
/// The strategy chain reads persistence, scope and stage and nothing else; texts are for people.
package struct Failure: Error, Hashable, Sendable {
    package var persistence: Persistence
    package var scope: Scope
    package var stage: Stage
    /// The code for reports and for `dsn=` in the log; a DNS that cannot be asked is `4.4.3`, never `5.y.z`.
    package var status: EnhancedStatusCode
    /// What was seen, for people: one line, no credentials, control characters already replaced.
    package var text: String
    /// How long the other side asked us to wait, or the time to a documented reset; nil when it did not say.
    package var retryAfter: Duration?
    /// `retryAfter` is our own guess: nobody said it, and an operator may know better.
    package var isWaitGuessed: Bool
    /// The closed word for metrics and logs.
    package var reason: Reason

    package init(
        _ persistence: Persistence,
        _ scope: Scope,
        _ stage: Stage,
        status: EnhancedStatusCode,
        text: String,
        reason: Reason,
        retryAfter: Duration? = nil,
        isWaitGuessed: Bool = false
    ) {
        self.persistence = persistence
        self.scope = scope
        self.stage = stage
        self.status = status
        self.text = text
        self.reason = reason
        self.retryAfter = retryAfter
        self.isWaitGuessed = isWaitGuessed
    }

    package enum Persistence: String, Hashable, Sendable, Codable, CaseIterable {
        case permanent
        case transient
        /// The content was handed over and the answer never came: it may or may not have been accepted.
        case ambiguous
    }

    /// What the failure says something about.
    package enum Scope: String, Hashable, Sendable, Codable, CaseIterable {
        case recipient
        case message
        /// This message at this provider: too big here, no SMTPUTF8, a header it refuses. Another may carry it.
        case capability
        /// This sender's domain or address at this provider, as when it is not verified there.
        case sender
        /// The recipient's domain.
        case destination
        /// The way out itself: credentials, quota, our address blocked, the service down.
        case provider
        /// Ourselves: disk, descriptors, no network at all.
        case local
    }

    /// How far the attempt had come.
    package enum Stage: String, Hashable, Sendable, Codable, CaseIterable {
        case resolve, connect, tls, greeting, ehlo, auth, mail, rcpt, data
        /// After the final dot or the HTTP body: from here on the content may have been accepted.
        case commit
    }

    /// The closed list of reasons that metrics and logs may carry as a label.
    package enum Reason: String, Hashable, Sendable, Codable, CaseIterable {
        case dnsUnavailable = "dns-unavailable"
        case noSuchDomain = "no-such-domain"
        case nullMX = "null-mx"
        case noAddress = "no-address"
        case prohibitedAddress = "prohibited-address"
        case mailLoop = "mail-loop"
        case connectionFailed = "connection-failed"
        case connectionLost = "connection-lost"
        case timeout
        case tlsFailed = "tls-failed"
        case authenticationFailed = "authentication-failed"
        case accountSuspended = "account-suspended"
        case senderNotVerified = "sender-not-verified"
        case rateLimited = "rate-limited"
        case quotaExceeded = "quota-exceeded"
        case policyRefused = "policy-refused"
        case recipientRefused = "recipient-refused"
        case recipientDeferred = "recipient-deferred"
        case contentRefused = "content-refused"
        case tooLarge = "too-large"
        case notSupported = "not-supported"
        case protocolError = "protocol-error"
        case serviceUnavailable = "service-unavailable"
        case misconfigured
        case noAnswer = "no-answer"
        case localTrouble = "local-trouble"
        /// The gateway was stopped or killed while the attempt ran.
        case interrupted
    }
}
