package import MailModel

package import struct NIOCore.ByteBuffer

/// The server's side of one SMTP session (RFC 5321), without socket, clock or logger.
///
/// The owner keeps what the client sent in a buffer, asks `next` for actions until it returns nil, carries each out, and
/// asks again when more octets have come or when the work of an action is done. Replies come in the order of commands.
package struct ServerSession: Sendable {
    enum Phase: Sendable {
        case command
        /// Dropping the rest of an overlong line, then sending the reply to it; `dropped` bounds how long that may take.
        case skippingLine(dropped: Int, Reply)
        case authenticating(ServerExchange)
        /// Waiting for `authenticationFinished`.
        case checkingCredentials(user: String)
        case data
        case chunk(remaining: Int, isLast: Bool)
        /// The octets of a BDAT that was refused are dropped before the refusal is sent (RFC 3030 §2).
        case swallowingChunk(remaining: Int, Reply)
        /// Waiting for `submissionFinished`.
        case submitting
        /// Waiting for `tlsDidStart`.
        case startingTLS
        case closed
    }

    struct Counters: Sendable {
        var errors = 0
        var commandsWithoutMail = 0
        var authenticationFailures = 0
        var transactions = 0
    }

    let policy: SessionPolicy
    var phase = Phase.command
    var transaction: Envelope?
    var reader = ContentReader()
    /// Whether the transaction's content has begun to come in chunks.
    var isChunking = false
    /// Octets that the envelope of the running transaction takes, about.
    package internal(set) var envelopeSize = 0
    /// Recipients of the running transaction that read 452, and that a client may forget about.
    package internal(set) var recipientsLeftOut = 0
    /// Why the owner will not have the running content, once it has been read.
    var contentRefusal: Reply?
    var counters = Counters()
    var isShuttingDown = false

    /// What the client called itself; nil before EHLO or HELO, and again after STARTTLS.
    package internal(set) var clientName: String?
    /// Whether the client said EHLO and not HELO.
    package internal(set) var isExtended = false
    package internal(set) var isTLSActive: Bool
    package internal(set) var authenticatedUser: String?

    /// A session that begins with the greeting; `isTLSActive` on listeners where TLS comes first.
    package init(policy: SessionPolicy, isTLSActive: Bool = false) {
        self.policy = policy
        self.isTLSActive = isTLSActive
    }

    /// What the server says first.
    package var greeting: Reply {
        Reply(220, nil, "\(self.policy.hostname) ESMTP Hikyaku")
    }

    /// Whether content is being received, so that a time limit for content applies.
    package var isReceivingContent: Bool {
        switch self.phase {
        case .data, .chunk, .swallowingChunk: true
        case .command, .skippingLine, .authenticating, .checkingCredentials, .submitting, .startingTLS, .closed: false
        }
    }

    /// Whether the session waits for its owner, and octets of the client have to wait too.
    package var isWaiting: Bool {
        switch self.phase {
        case .checkingCredentials, .submitting, .startingTLS: true
        case .command, .skippingLine, .authenticating, .data, .chunk, .swallowingChunk, .closed: false
        }
    }

    /// Octets of the current content so far.
    package var contentSize: Int {
        self.reader.size
    }

    /// Octets of the current content's header section with its empty line; nil until that has come.
    package var headerLength: Int? {
        self.reader.headerLength
    }

    /// Whether the current content holds octets over 127.
    package var isEightBit: Bool {
        self.reader.isEightBit
    }

    /// Consumes octets of `input` up to the next action; nil when more octets or an answer of the owner is needed.
    ///
    /// Octets of content are appended to `content`, without dot-stuffing, from `beginContent` until `submit` or
    /// `dropContent`; none are appended once the content is certain to be refused.
    package mutating func next(_ input: inout ByteBuffer, content: inout ByteBuffer) -> SessionAction? {
        switch self.phase {
        case .command, .authenticating:
            if self.isShuttingDown {
                return self.close(.shuttingDown, .shutdown)
            }
            if let action = self.nextLine(&input) {
                return action
            }
            // After BDAT the chunk may have come in the same read.
            return self.isReceivingContent ? self.next(&input, content: &content) : nil
        case .skippingLine(let dropped, let reply):
            return self.skipLine(&input, dropped: dropped, reply)
        case .data:
            return self.receiveData(&input, into: &content)
        case .chunk(let remaining, let isLast):
            return self.receiveChunk(&input, remaining: remaining, isLast: isLast, into: &content)
        case .swallowingChunk(let remaining, let reply):
            let count = min(remaining, input.readableBytes)
            input.moveReaderIndex(forwardBy: count)
            guard count == remaining else {
                self.phase = .swallowingChunk(remaining: remaining - count, reply)
                return nil
            }
            self.phase = .command
            return self.answer(reply)
        case .checkingCredentials, .submitting, .startingTLS:
            return nil
        case .closed:
            input.clear()
            return nil
        }
    }

    /// The content cannot be kept, by no fault of the client: it is read to its end and then refused with this reply.
    package mutating func refuseContent(_ reply: Reply) {
        guard self.isReceivingContent || self.isChunking else {
            return
        }
        self.contentRefusal = self.contentRefusal ?? reply
        self.reader.discard()
    }

    /// The message of `submit` has been taken or refused; returns what to tell the client.
    package mutating func submissionFinished(_ reply: Reply) -> SessionAction {
        guard case .submitting = self.phase else {
            preconditionFailure("no submission is under way: \(self.phase)")
        }
        self.phase = .command
        if reply.isPositive {
            self.counters.errors = 0
            self.counters.commandsWithoutMail = 0
            self.counters.transactions += 1
        }
        return .send(reply)
    }

    /// The credentials of `authenticate` were right or wrong.
    package mutating func authenticationFinished(success: Bool) -> SessionAction {
        guard case .checkingCredentials(let user) = self.phase else {
            preconditionFailure("no authentication is under way: \(self.phase)")
        }
        self.phase = .command
        guard success else {
            self.counters.authenticationFailures += 1
            self.counters.errors += 1
            return .refuse(.wrongCredentials, .authenticationFailed(user: user))
        }
        self.authenticatedUser = user
        return .send(.authenticated)
    }

    /// The credentials of `authenticate` could not be checked now, which says nothing about them.
    package mutating func authenticationPutOff() -> SessionAction {
        guard case .checkingCredentials = self.phase else {
            preconditionFailure("no authentication is under way: \(self.phase)")
        }
        self.phase = .command
        return self.fail(.authenticationPutOff)
    }

    /// TLS is on: everything learnt in clear text is forgotten (RFC 3207 §4.2).
    package mutating func tlsDidStart() {
        guard case .startingTLS = self.phase else {
            preconditionFailure("TLS was not asked for: \(self.phase)")
        }
        self.phase = .command
        self.isTLSActive = true
        self.clientName = nil
        self.isExtended = false
        self.authenticatedUser = nil
        self.resetTransaction()
    }

    /// Ends the session with 421 as soon as no content is under way; `next` then returns the closing action.
    package mutating func shutdown() {
        self.isShuttingDown = true
    }

    /// Ends the session for a reason outside of the dialogue; nil when it is closed already.
    package mutating func cut(_ reason: SessionCut) -> SessionAction? {
        if case .closed = self.phase {
            return nil
        }
        return self.close(reason.reply, reason.end)
    }

    mutating func close(_ reply: Reply, _ end: SessionEnd) -> SessionAction {
        self.phase = .closed
        self.resetTransaction()
        return .close(reply, end)
    }

    mutating func resetTransaction() {
        self.transaction = nil
        self.envelopeSize = 0
        self.recipientsLeftOut = 0
        self.isChunking = false
        self.contentRefusal = nil
    }

    /// Counts an error, and delays or closes when there have been too many.
    mutating func fail(_ reply: Reply) -> SessionAction {
        self.counters.errors += 1
        if self.counters.errors >= self.policy.limits.errorsBeforeClose {
            return self.close(.tooManyErrors, .tooManyErrors)
        }
        return self.counters.errors > self.policy.limits.errorsBeforeDelay ? .sendDelayed(reply) : .send(reply)
    }

    /// Sends a reply, counting it if it refuses.
    mutating func answer(_ reply: Reply) -> SessionAction {
        reply.code >= 400 ? self.fail(reply) : .send(reply)
    }
}
