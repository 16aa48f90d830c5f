import Delivery
import Dispatch
import HTTPTransport
import MailModel
import MessageFormat

import struct NIOCore.ByteBuffer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Brings a message's content into the form that a service needs.
struct ContentReader {
    let needsWholeContent: Bool
    let sizeLimit: Int

    /// Reads the header, and the whole content where it is needed; files are read on a thread that may block.
    func read(_ message: QueuedMessage) async throws(Failure) -> OutgoingMail {
        guard message.content.size <= self.sizeLimit else {
            throw Failure(
                .permanent,
                .capability,
                .data,
                status: .init(5, 3, 4),
                text: "\(message.content.size) octets are more than the \(self.sizeLimit) that this service takes",
                reason: .tooLarge
            )
        }
        switch message.content.storage {
        case .memory(let buffer):
            return self.mail(message, start: buffer, content: .bytes(buffer))
        case .file(let path):
            return try await self.read(message, path: path)
        }
    }

    private func read(_ message: QueuedMessage, path: String) async throws(Failure) -> OutgoingMail {
        let size = message.content.size
        guard !self.needsWholeContent else {
            let whole = try await octets(of: path, limit: size)
            return self.mail(message, start: whole, content: .bytes(whole))
        }
        let start = try await octets(of: path, limit: min(size, HeaderSection.sizeLimit))
        guard hasBlindCopies(start) else {
            return self.mail(message, start: start, content: .file(path: path, size: size))
        }
        let whole = try await octets(of: path, limit: size)
        return self.mail(message, start: start, content: .bytes(whole))
    }

    private func mail(_ message: QueuedMessage, start: ByteBuffer, content: OutgoingMail.Content) -> OutgoingMail {
        let bytes = Array(start.readableBytesView.prefix(HeaderSection.sizeLimit))
        return OutgoingMail(
            id: message.id,
            reversePath: message.reversePath,
            messageID: message.messageID,
            header: HeaderSection(bytes),
            content: content
        )
    }

    /// A content with Bcc fields cannot be streamed as it is: they are taken out of what is sent.
    private func hasBlindCopies(_ start: ByteBuffer) -> Bool {
        let header = HeaderSection(Array(start.readableBytesView))
        return header.first("Bcc") != nil || header.first("Resent-Bcc") != nil
    }
}

/// Exactly `limit` octets from the beginning of a file.
private func octets(of path: String, limit: Int) async throws(Failure) -> ByteBuffer {
    let result: Result<ByteBuffer, Failure> = await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            continuation.resume(returning: readOctets(of: path, limit: limit))
        }
    }
    return try result.get()
}

private func readOctets(of path: String, limit: Int) -> Result<ByteBuffer, Failure> {
    let trouble = Failure(
        .transient,
        .local,
        .data,
        status: .init(4, 3, 0),
        text: "the content of the message could not be read from its file",
        reason: .localTrouble
    )
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        return .failure(trouble)
    }
    defer { close(descriptor) }
    var buffer = ByteBuffer()
    buffer.reserveCapacity(limit)
    while buffer.readableBytes < limit {
        let offset = buffer.readableBytes
        let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: limit - offset) { space in
            max(0, pread(descriptor, space.baseAddress, min(space.count, limit - offset), off_t(offset)))
        }
        guard count > 0 else {
            return .failure(trouble)
        }
    }
    return .success(buffer)
}
