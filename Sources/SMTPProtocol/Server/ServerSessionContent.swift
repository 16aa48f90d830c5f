import MailModel

import struct NIOCore.ByteBuffer

/// DATA and BDAT.
extension ServerSession {
    /// Content that will be refused is read on for as much again as the limit allows, then the session is closed.
    private var maximumSwallow: Int {
        let (doubled, overflow) = self.policy.limits.messageSize.multipliedReportingOverflow(by: 2)
        return overflow ? .max : doubled
    }

    mutating func receiveDataCommand() -> SessionAction {
        guard let transaction = self.transaction, !self.isChunking else {
            return self.fail(self.isChunking ? .chunkedAlready : .mailFirst)
        }
        guard !transaction.forwardPaths.isEmpty else {
            return self.fail(.recipientFirst)
        }
        self.reader = ContentReader()
        self.contentRefusal = nil
        self.phase = .data
        return .beginContent(transaction, .startContent)
    }

    mutating func receiveData(_ input: inout ByteBuffer, into content: inout ByteBuffer) -> SessionAction? {
        guard input.readableBytes > 0 else {
            return nil
        }
        let isComplete = self.reader.readData(&input, into: &content)
        guard self.reader.size <= self.maximumSwallow else {
            return self.close(.tooLarge(limit: self.policy.limits.messageSize), .contentTooLarge)
        }
        self.keepOnlyWhatIsWanted()
        return isComplete ? self.endContent() : nil
    }

    /// The first chunk of a message begins its content without a reply of its own.
    mutating func receiveChunkCommand(octets: Int, isLast: Bool) -> SessionAction? {
        let limit = self.policy.limits.messageSize
        guard octets <= self.maximumSwallow else {
            return self.close(.tooLarge(limit: limit), .contentTooLarge)
        }
        guard let transaction = self.transaction, !transaction.forwardPaths.isEmpty else {
            self.phase = .swallowingChunk(remaining: octets, self.transaction == nil ? .mailFirst : .recipientFirst)
            return nil
        }
        guard self.isChunking else {
            self.reader = ContentReader()
            self.contentRefusal = nil
            self.isChunking = true
            self.phase = .chunk(remaining: octets, isLast: isLast)
            return .beginContent(transaction, nil)
        }
        self.phase = .chunk(remaining: octets, isLast: isLast)
        return nil
    }

    mutating func receiveChunk(
        _ input: inout ByteBuffer,
        remaining: Int,
        isLast: Bool,
        into content: inout ByteBuffer
    ) -> SessionAction? {
        let count = self.reader.readChunk(&input, limit: remaining, into: &content)
        self.keepOnlyWhatIsWanted()
        guard count == remaining else {
            self.phase = .chunk(remaining: remaining - count, isLast: isLast)
            return nil
        }
        if isLast {
            self.reader.finishChunks()
            return self.endContent()
        }
        self.phase = .command
        guard let refusal = self.contentVerdict else {
            return .send(Reply(250, EnhancedStatusCode(2, 0, 0), "chunk received, \(self.reader.size) octets so far"))
        }
        // RFC 3030 §2: after a failed chunk the transaction is gone, and chunks already on their way read 503.
        self.resetTransaction()
        return .dropContent(refusal)
    }

    /// Why the content will be refused, as far as it has come.
    ///
    /// Judged by totals, in an order of its own, so that it does not matter how the octets were cut into reads.
    private var contentVerdict: Reply? {
        let limits = self.policy.limits
        if let flaw = self.reader.flaw {
            return .flawed(flaw)
        }
        if (self.reader.headerLength ?? self.reader.size) > limits.headerSection {
            return .headerTooLarge(limit: limits.headerSection)
        }
        return self.reader.size > limits.messageSize ? .tooLarge(limit: limits.messageSize) : self.contentRefusal
    }

    private mutating func keepOnlyWhatIsWanted() {
        if self.contentVerdict != nil {
            self.reader.discard()
        }
    }

    private mutating func endContent() -> SessionAction {
        let refusal = self.contentVerdict
        self.resetTransaction()
        guard let refusal else {
            self.phase = .submitting
            return .submit
        }
        self.phase = .command
        return .dropContent(refusal)
    }
}
