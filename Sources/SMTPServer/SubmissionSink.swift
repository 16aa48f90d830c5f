package import MailModel

package import struct NIOCore.ByteBuffer

/// Takes what a listener receives; the gateway supplies it.
package protocol SubmissionSink: Sendable {
    /// The name of the next message; called once a message, when its content begins, on an event loop.
    func nextQueueID() -> QueueID

    /// Turns the header section as received into the one to be stored, or refuses the message.
    ///
    /// The buffer ends with the empty line, or with the content if that has none. Called on an event loop: no waiting.
    func prepareHeader(_ header: ByteBuffer, of transaction: TransactionFacts) -> HeaderVerdict

    /// Opens a place for content that outgrows memory; called on a thread that may block, as are the spool's methods.
    func openSpool(for id: QueueID) throws -> any ContentSpool

    /// Takes the message durably, then calls `completion` once, on any thread.
    ///
    /// A spool of a refused submission is the sink's to discard.
    func accept(_ submission: Submission, completion: @escaping @Sendable (SubmissionVerdict) -> Void)
}

/// What became of a header section.
package enum HeaderVerdict: Sendable {
    /// The header section to store, and what is to be known of it; `isTLSOptional` as `MailParameters.tlsOptional`.
    case prepared(ByteBuffer, messageID: String, subject: String, isTLSOptional: Bool = false)
    case refused(Reply)
}

/// What became of a submission.
package enum SubmissionVerdict: Sendable {
    case accepted
    case refused(Reply)
}

/// A place for large content outside of memory; one caller at a time.
package protocol ContentSpool: Sendable {
    var path: String { get }
    func append(_ bytes: ByteBuffer) throws
    /// Everything is on stable storage when this returns.
    func finish() throws
    func discard()
}

/// Why a spool cannot take content.
package enum SpoolError: Error, Hashable, Sendable {
    case noSpace
    case failed

    /// The reply for any error of a spool.
    static func reply(for error: any Error) -> Reply {
        if case SpoolError.noSpace = error {
            return Reply(452, EnhancedStatusCode(4, 3, 1), "insufficient system storage")
        }
        return Reply(451, EnhancedStatusCode(4, 3, 0), "the message cannot be stored now, try again")
    }
}

/// What came of a login.
package enum AuthenticationResult: Hashable, Sendable {
    case accepted
    case refused
    /// Too many wait for theirs: 454 4.7.0.
    case busy
    /// Nobody wanted to know any more when its turn came.
    case abandoned
}

/// Checks names and passwords.
package protocol Authenticator: Sendable {
    /// May take its time: it does not run on an event loop.
    ///
    /// Asks `isWanted` before it begins with what costs much: the client may have gone, its address may be left out.
    @concurrent
    func authenticate(
        user: String,
        password: String,
        from address: IPAddress,
        isWanted: @escaping @Sendable () -> Bool
    ) async -> AuthenticationResult
}
