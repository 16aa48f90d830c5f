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
        self.judgeContent()
        if isComplete {
            return self.endContent()
        }
        guard self.reader.size <= self.maximumSwallow else {
            return self.close(self.contentRefusal ?? .tooLarge(limit: self.policy.limits.messageSize), .contentTooLarge)
        }
        return nil
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
        self.judgeContent()
        guard count == remaining else {
            self.phase = .chunk(remaining: remaining - count, isLast: isLast)
            return nil
        }
        if isLast {
            self.reader.finishChunks()
            self.judgeContent()
            return self.endContent()
        }
        self.phase = .command
        guard let refusal = self.contentRefusal else {
            return .send(Reply(250, EnhancedStatusCode(2, 0, 0), "chunk received, \(self.reader.size) octets so far"))
        }
        // RFC 3030 §2: after a failed chunk the transaction is gone, and chunks already on their way read 503.
        self.resetTransaction()
        return .dropContent(refusal)
    }

    /// Notes the first reason for which the content will be refused.
    private mutating func judgeContent() {
        guard self.contentRefusal == nil else {
            return
        }
        let limits = self.policy.limits
        if let flaw = self.reader.flaw {
            self.contentRefusal = .flawed(flaw)
        } else if self.reader.size > limits.messageSize {
            self.contentRefusal = .tooLarge(limit: limits.messageSize)
        } else if (self.reader.headerLength ?? self.reader.size) > limits.headerSection {
            self.contentRefusal = .headerTooLarge(limit: limits.headerSection)
        }
        if self.contentRefusal != nil {
            self.reader.discard()
        }
    }

    private mutating func endContent() -> SessionAction {
        let refusal = self.contentRefusal
        self.resetTransaction()
        guard let refusal else {
            self.phase = .submitting
            return .submit
        }
        self.phase = .command
        return .dropContent(refusal)
    }
}
