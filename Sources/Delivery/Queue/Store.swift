package import MailModel

/// Where messages live from the `250` until they are delivered or bounced, and where every attempt is kept.
///
/// Every write returns (or calls back) only after it is durable, and shares its flush with whatever else arrived
/// while the last one ran.
package protocol Store: Sendable {
    /// Commits a message with its recipients and its first attempts in one transaction.
    ///
    /// Never blocks the caller. The completion runs on the writer's thread after the commit and must return quickly.
    func enqueue(_ message: NewMessage, completion: @escaping @Sendable (Result<Void, StoreFailure>) -> Void)

    /// Commits that attempts are about to have an effect outside.
    func begin(_ attempt: AttemptStart) async throws(StoreFailure)

    /// Commits what an attempt brought, where its recipients stand now, and the bounce that it caused, if any.
    ///
    /// An attempt that was never begun is inserted whole. A message whose recipients are all finished is finished.
    func finish(_ result: AttemptResult) async throws(StoreFailure)

    /// Leases what is due and not leased yet, oldest due first, at most `limit` messages.
    ///
    /// Where `putOff` gives a moment for a recipient's domain, the recipient is due then instead, and costs no more than
    /// that, unless its message has expired. It is asked for each recipient that is due, in their order, and again where a
    /// transaction is repeated.
    ///
    /// Of a recipient in doubt that has no `deferredSince` yet it is now, and stays so however often it is given back.
    ///
    /// A lease ends with `finish`, with `release`, or with the process: what another run had leased is simply due.
    func leaseDue(
        at now: Timestamp,
        limit: Int,
        putOff: @escaping @Sendable (MailDomain) -> Timestamp?
    ) async throws(StoreFailure) -> LeasedBatch

    /// Leases all unfinished and unleased recipients of one message whatever their due time; nil when there are none.
    func lease(_ id: QueueID) async throws(StoreFailure) -> LeasedMessage?

    /// When the next recipient that is not leased falls due; nil when none waits.
    func nextDue() async throws(StoreFailure) -> Timestamp?

    /// Reads the content of a message again.
    func content(of id: QueueID) async throws(StoreFailure) -> MessageContent

    /// Gives recipients back without an attempt; they are due at `dueAt`.
    func release(_ id: QueueID, recipients: [Recipient.Number], dueAt: Timestamp) async throws(StoreFailure)

    /// Makes all that waits and is not held due at once, or what matches one message or recipient domain.
    ///
    /// Returns how many were not due at `now` already. A large selection is due little by little.
    func expedite(_ selection: QueueSelection, at now: Timestamp) async throws(StoreFailure) -> Int

    /// All breakers that are not closed.
    func breakers() async throws(StoreFailure) -> [BreakerKey: BreakerState]

    /// Commits the state of one breaker; nil removes it (closed).
    func save(_ state: BreakerState?, for key: BreakerKey) async throws(StoreFailure)
}

/// What was leased together.
package struct LeasedBatch: Sendable {
    package var messages: [LeasedMessage]
    /// Whether more may be due at the same moment.
    package var hasMore: Bool

    package init(messages: [LeasedMessage], hasMore: Bool) {
        self.messages = messages
        self.hasMore = hasMore
    }
}

/// What an operation on the queue applies to.
package enum QueueSelection: Hashable, Sendable {
    case all
    case message(QueueID)
    case domain(String)
}

/// The store could not do its work; the client reads 451 or 452 and nothing is half-written.
package struct StoreFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable {
        /// No room on the disk or over the quota: 452 4.3.1.
        case full
        /// Locked by somebody else for longer than the bounded wait: 451 4.3.0.
        case busy
        /// Input or output error, read-only file system, corruption: 451 4.3.0.
        case broken
        /// The store is being closed: 421 4.3.2.
        case closed
        /// The thing asked for is not there.
        case missing
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// A message to be committed with everything that its delivery needs.
package struct NewMessage: Sendable {
    package var message: QueuedMessage
    package var recipients: [Recipient]
    package var submission: SubmissionRecord
    /// Attempts that begin at once, recorded in the accepting transaction; their recipients are leased by this process.
    ///
    /// Recipients in none of them are due at `dueAt`, and not leased unless they are `planned`.
    package var firstAttempts: [AttemptStart]
    /// Recipients that wait in memory for attempts that `begin` will record; they are leased by this process, too.
    package var planned: [Recipient.Number]
    package var dueAt: Timestamp

    /// All whom this process holds from the commit on.
    package var leased: Set<Recipient.Number> {
        Set(self.firstAttempts.flatMap(\.recipients)).union(self.planned)
    }

    package init(
        message: QueuedMessage,
        recipients: [Recipient],
        submission: SubmissionRecord,
        firstAttempts: [AttemptStart],
        planned: [Recipient.Number] = [],
        dueAt: Timestamp
    ) {
        self.message = message
        self.recipients = recipients
        self.submission = submission
        self.firstAttempts = firstAttempts
        self.planned = planned
        self.dueAt = dueAt
    }
}

/// Where a message came from.
package struct SubmissionRecord: Hashable, Sendable {
    /// The listener's name in the configuration; `gateway` for our own reports.
    package var listener: String
    package var clientAddress: IPAddress?
    /// The name given in EHLO.
    package var clientName: String
    /// The authenticated user, if any.
    package var user: String?

    package init(listener: String, clientAddress: IPAddress? = nil, clientName: String = "", user: String? = nil) {
        self.listener = listener
        self.clientAddress = clientAddress
        self.clientName = clientName
        self.user = user
    }
}

/// A message with those of its recipients that this process now holds.
package struct LeasedMessage: Sendable {
    package var message: QueuedMessage
    package var recipients: [Recipient]
    /// Recipients whose last attempt was begun by a process that died before it could record the outcome, with the provider.
    ///
    /// Their progress says so, too (`ambiguousAt`).
    package var interrupted: [Recipient.Number: String]

    package init(
        message: QueuedMessage,
        recipients: [Recipient],
        interrupted: [Recipient.Number: String] = [:]
    ) {
        self.message = message
        self.recipients = recipients
        self.interrupted = interrupted
    }
}

/// An attempt at the moment before it can have an effect outside.
package struct AttemptStart: Hashable, Sendable {
    /// Unique and rising, made like a queue id.
    package var id: Int64
    package var messageID: QueueID
    package var provider: String
    package var recipients: [Recipient.Number]
    package var startedAt: Timestamp

    package init(
        id: Int64,
        messageID: QueueID,
        provider: String,
        recipients: [Recipient.Number],
        startedAt: Timestamp
    ) {
        self.id = id
        self.messageID = messageID
        self.provider = provider
        self.recipients = recipients
        self.startedAt = startedAt
    }
}

/// An attempt at its end.
package struct AttemptResult: Sendable {
    package var start: AttemptStart
    package var finishedAt: Timestamp
    package var report: AttemptReport
    /// Where each recipient of the attempt stands now.
    package var updates: [RecipientUpdate]
    /// Why the chain did what it did, for `hikyaku trace`: `moved on: no DNS source could answer`.
    package var move: String
    /// The delivery status notification that the attempt caused.
    package var bounce: NewMessage?

    package init(
        start: AttemptStart,
        finishedAt: Timestamp,
        report: AttemptReport,
        updates: [RecipientUpdate],
        move: String,
        bounce: NewMessage? = nil
    ) {
        self.start = start
        self.finishedAt = finishedAt
        self.report = report
        self.updates = updates
        self.move = move
        self.bounce = bounce
    }
}

/// Where one recipient stands after an attempt.
package struct RecipientUpdate: Sendable, Hashable {
    package enum State: Hashable, Sendable {
        /// Still leased: the next provider is tried at once.
        case active
        case waiting(dueAt: Timestamp)
        case held
        case delivered(provider: String)
        case bounced
        case expired
    }

    package var recipient: Recipient.Number
    package var state: State
    package var progress: Recipient.Progress
    /// The last failure in words: `4.4.3 no DNS source could answer`.
    ///
    /// Nil where there was none: a delivery ends the last one, and of what was not begun it stays on record.
    package var lastFailure: String?

    package init(recipient: Recipient.Number, state: State, progress: Recipient.Progress, lastFailure: String? = nil) {
        self.recipient = recipient
        self.state = state
        self.progress = progress
        self.lastFailure = lastFailure
    }
}
