import MailModel
import NIOCore
import NIOPosix

/// Collects the content of one message: in memory, or beyond a threshold in a spool.
///
/// Confined to the event loop of its channel.
final class ContentCollector {
    /// Everything appended so far, or in a spooled message what has not been handed to the spool.
    var content = ByteBuffer()
    let facts: TransactionFacts
    /// Octets that the envelope takes, about.
    let envelopeSize: Int
    private let shared: ListenerContext
    private let eventLoop: any EventLoop
    private var opened: EventLoopFuture<any ContentSpool>?
    private var tail: EventLoopFuture<any ContentSpool>?
    private var prepared: (messageID: String, subject: String, isTLSOptional: Bool)?
    private var spooledSize = 0
    /// Octets that the spool has not written yet.
    private(set) var pendingOctets = 0

    init(facts: TransactionFacts, envelopeSize: Int, shared: ListenerContext, eventLoop: any EventLoop) {
        self.facts = facts
        self.envelopeSize = envelopeSize
        self.shared = shared
        self.eventLoop = eventLoop
    }

    /// Whether content goes to the spool, so that memory holds it for a moment only.
    var isSpooling: Bool {
        self.opened != nil
    }

    /// Moves content to the spool as soon as its header section is complete; returns a refusal of that.
    func relieve(headerLength: Int?, whenWritten: @escaping @Sendable ((any Error)?) -> Void) -> Reply? {
        if self.prepared == nil {
            guard let headerLength else {
                return nil
            }
            if let refusal = self.prepareHeader(headerLength) {
                return refusal
            }
        }
        self.spool(whenWritten)
        return nil
    }

    /// Calls back with the submission once everything is where it belongs, which is at once for one in memory; with a
    /// refusal if the header or the spool forbids it.
    func finish(
        headerLength: Int?,
        isEightBit: Bool,
        completion: @escaping @Sendable (Result<Submission, Refused>) -> Void
    ) {
        if self.prepared == nil, let refusal = self.prepareHeader(headerLength ?? self.content.readableBytes) {
            completion(.failure(Refused(reply: refusal)))
        } else if self.isSpooling {
            self.finishSpool(isEightBit: isEightBit).whenSuccess(completion)
        } else {
            completion(
                .success(self.submission(.memory(self.content), size: self.content.readableBytes, isEightBit))
            )
        }
    }

    private func finishSpool(isEightBit: Bool) -> EventLoopFuture<Result<Submission, Refused>> {
        self.spool { _ in }
        let pool = self.shared.pool
        let loop = self.eventLoop
        guard let tail = self.tail else {
            preconditionFailure("an open spool has a tail")
        }
        let make = NIOLoopBound(self, eventLoop: loop)
        return
            tail
            .flatMap { spool in
                pool.runIfActive(eventLoop: loop) {
                    try spool.finish()
                    return spool
                }
            }
            .map { spool in
                let collector = make.value
                return .success(collector.submission(.spooled(spool), size: collector.spooledSize, isEightBit))
            }
            .flatMapErrorThrowing { error in
                make.value.discard()
                return .failure(Refused(reply: SpoolError.reply(for: error)))
            }
    }

    /// Drops everything, a spool included.
    func discard() {
        self.content = ByteBuffer()
        guard let opened = self.opened, let tail = self.tail else {
            return
        }
        let pool = self.shared.pool
        tail.whenComplete { _ in
            opened.whenSuccess { spool in
                pool.submit { _ in spool.discard() }
            }
        }
        self.opened = nil
        self.tail = nil
    }

    private func submission(_ content: SubmissionContent, size: Int, _ isEightBit: Bool) -> Submission {
        Submission(
            facts: self.facts,
            content: content,
            size: size,
            isEightBit: isEightBit,
            messageID: self.prepared?.messageID ?? "",
            subject: self.prepared?.subject ?? "",
            isTLSOptional: self.prepared?.isTLSOptional ?? false
        )
    }

    private func prepareHeader(_ length: Int) -> Reply? {
        guard let header = self.content.readSlice(length: min(length, self.content.readableBytes)) else {
            return nil
        }
        switch self.shared.sink.prepareHeader(header, of: self.facts) {
        case .refused(let reply):
            return reply
        case .prepared(var whole, let messageID, let subject, let isTLSOptional):
            self.prepared = (messageID, subject, isTLSOptional)
            whole.writeBuffer(&self.content)
            self.content = whole
            return nil
        }
    }

    private func spool(_ whenWritten: @escaping @Sendable ((any Error)?) -> Void) {
        let chunk = self.content
        self.content = ByteBuffer()
        let pool = self.shared.pool
        let loop = self.eventLoop
        if self.opened == nil {
            let sink = self.shared.sink
            let id = self.facts.queueID
            self.opened = pool.runIfActive(eventLoop: loop) { try sink.openSpool(for: id) }
            self.tail = self.opened
        }
        self.spooledSize += chunk.readableBytes
        self.pendingOctets += chunk.readableBytes
        let written = self.tail?.flatMap { spool in
            pool.runIfActive(eventLoop: loop) {
                try spool.append(chunk)
                return spool
            }
        }
        self.tail = written
        let collector = NIOLoopBound(self, eventLoop: loop)
        written?
            .whenComplete { result in
                collector.value.pendingOctets -= chunk.readableBytes
                switch result {
                case .success: whenWritten(nil)
                case .failure(let error): whenWritten(error)
                }
            }
    }
}

/// A message that is refused at its end.
struct Refused: Error {
    let reply: Reply
}
