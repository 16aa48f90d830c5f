package import MailModel

/// The reading side of the store: what became of messages, for `queue`, `trace` and reports.
///
/// Works beside a running gateway and without one; never changes anything.
package protocol History: Sendable {
    /// Messages in order of arrival, newest last; `unfinishedOnly` leaves out what is delivered or bounced.
    func messages(unfinishedOnly: Bool, limit: Int) async throws(StoreFailure) -> [MessageRecord]

    /// One message with everything that happened to it; nil when the store does not know it.
    func message(_ id: QueueID) async throws(StoreFailure) -> MessageRecord?

    /// Messages whose Message-ID (with or without brackets) or one of whose recipients equals the text, newest last.
    func messages(matching text: String, limit: Int) async throws(StoreFailure) -> [MessageRecord]

    /// How many messages there are, whatever a list shows of them.
    func count(unfinishedOnly: Bool) async throws(StoreFailure) -> MessageCount

    /// All that is not finished, counted.
    func backlog() async throws(StoreFailure) -> Backlog

    /// Domains that recipients wait for or are tried at, in lower case, those of the most recipients first; no address literals.
    func waitingDomains(limit: Int) async throws(StoreFailure) -> [String]

    /// Domains in whose name there are messages, in lower case: first those of the most unfinished, then of the most.
    func senderDomains(limit: Int) async throws(StoreFailure) -> [String]

    /// What the gateway found out by itself, newest last.
    func diagnoses(limit: Int) async throws(StoreFailure) -> [DiagnosisRecord]
}

/// Messages of the store, counted.
package struct MessageCount: Sendable, Hashable {
    package var messages: Int
    /// Octets of content.
    package var octets: Int
    /// When the oldest of them came; nil when there is none.
    package var oldestArrival: Timestamp?

    package init(messages: Int = 0, octets: Int = 0, oldestArrival: Timestamp? = nil) {
        self.messages = messages
        self.octets = octets
        self.oldestArrival = oldestArrival
    }
}

/// Recipients that are not finished, counted over the whole store.
package struct Backlog: Sendable, Hashable {
    /// Why recipients wait.
    package struct Reason: Sendable, Hashable {
        /// What the last attempt failed by; nil for those that were not tried yet.
        package var text: String?
        package var count: Int

        package init(text: String?, count: Int) {
            self.text = text
            self.count = count
        }
    }

    /// The reasons that are told apart; the most common come first.
    package static let reasonLimit = 3

    /// Recipients that wait or are tried right now.
    package var waiting: Int
    /// Recipients that wait for an operator.
    package var held: Int
    /// When the oldest message came that waits or is tried right now.
    package var oldestArrival: Timestamp?
    package var reasons: [Reason]
    /// The last delivery among the messages that came last.
    package var lastDelivery: Timestamp?

    package init(
        waiting: Int = 0,
        held: Int = 0,
        oldestArrival: Timestamp? = nil,
        reasons: [Reason] = [],
        lastDelivery: Timestamp? = nil
    ) {
        self.waiting = waiting
        self.held = held
        self.oldestArrival = oldestArrival
        self.reasons = reasons
        self.lastDelivery = lastDelivery
    }
}

/// A message as the store remembers it.
package struct MessageRecord: Sendable, Hashable {
    package var id: QueueID
    package var reversePath: String
    package var messageID: String
    package var subject: String
    /// Octets of content.
    package var size: Int
    package var submission: SubmissionRecord
    package var arrivedAt: Timestamp
    package var expiresAt: Timestamp
    /// When the last recipient was delivered, bounced or deleted; nil while one is unfinished.
    package var finishedAt: Timestamp?
    package var recipients: [RecipientRecord]
    /// In the order of their beginning; empty in lists.
    package var attempts: [AttemptRecord]

    package init(
        id: QueueID,
        reversePath: String,
        messageID: String,
        subject: String,
        size: Int,
        submission: SubmissionRecord,
        arrivedAt: Timestamp,
        expiresAt: Timestamp,
        finishedAt: Timestamp?,
        recipients: [RecipientRecord],
        attempts: [AttemptRecord]
    ) {
        self.id = id
        self.reversePath = reversePath
        self.messageID = messageID
        self.subject = subject
        self.size = size
        self.submission = submission
        self.arrivedAt = arrivedAt
        self.expiresAt = expiresAt
        self.finishedAt = finishedAt
        self.recipients = recipients
        self.attempts = attempts
    }
}

/// Where one recipient stands.
package struct RecipientRecord: Sendable, Hashable {
    package enum State: String, Sendable, Hashable, Codable, CaseIterable {
        /// In the hands of the running gateway.
        case active
        case waiting
        case held
        case delivered
        case bounced
        case expired
        case deleted
    }

    package var number: Recipient.Number
    package var mailbox: String
    package var state: State
    /// When the next attempt is due; nil unless waiting.
    package var dueAt: Timestamp?
    package var finishedAt: Timestamp?
    package var attempts: Int
    /// The provider that delivered it.
    package var provider: String?
    package var lastFailure: String?

    package init(
        number: Recipient.Number,
        mailbox: String,
        state: State,
        dueAt: Timestamp?,
        finishedAt: Timestamp?,
        attempts: Int,
        provider: String?,
        lastFailure: String?
    ) {
        self.number = number
        self.mailbox = mailbox
        self.state = state
        self.dueAt = dueAt
        self.finishedAt = finishedAt
        self.attempts = attempts
        self.provider = provider
        self.lastFailure = lastFailure
    }
}

/// One attempt as the store remembers it.
package struct AttemptRecord: Sendable, Hashable {
    /// What an attempt said of one recipient, flattened for reading.
    package struct RecipientOutcome: Sendable, Hashable {
        package var recipient: Recipient.Number
        package var delivered: Bool
        /// The reply of the next hop, or the failure's text.
        package var text: String
        package var status: String
        package var persistence: Failure.Persistence?
        package var scope: Failure.Scope?
        package var stage: Failure.Stage?
        package var reason: Failure.Reason?

        package init(
            recipient: Recipient.Number,
            delivered: Bool,
            text: String,
            status: String,
            persistence: Failure.Persistence? = nil,
            scope: Failure.Scope? = nil,
            stage: Failure.Stage? = nil,
            reason: Failure.Reason? = nil
        ) {
            self.recipient = recipient
            self.delivered = delivered
            self.text = text
            self.status = status
            self.persistence = persistence
            self.scope = scope
            self.stage = stage
            self.reason = reason
        }
    }

    package var id: Int64
    package var provider: String
    package var startedAt: Timestamp
    /// Nil while it runs; and for ever when the process died, which makes its outcome unknown.
    package var finishedAt: Timestamp?
    package var recipients: [Recipient.Number]
    package var outcomes: [RecipientOutcome]
    package var providerMessageID: String?
    package var evidence: AttemptEvidence
    /// Why the chain did what it did next.
    package var move: String

    package init(
        id: Int64,
        provider: String,
        startedAt: Timestamp,
        finishedAt: Timestamp?,
        recipients: [Recipient.Number],
        outcomes: [RecipientOutcome],
        providerMessageID: String?,
        evidence: AttemptEvidence,
        move: String
    ) {
        self.id = id
        self.provider = provider
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.recipients = recipients
        self.outcomes = outcomes
        self.providerMessageID = providerMessageID
        self.evidence = evidence
        self.move = move
    }
}
