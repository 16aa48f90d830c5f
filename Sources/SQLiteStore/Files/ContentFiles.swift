package import Delivery
import Foundation
package import MailModel

package import struct NIOCore.ByteBuffer

/// Makes the files that hold large contents, one a message, beside the database.
///
/// A file has its final name from the beginning, made from the queue id: the row that `enqueue` commits is what makes
/// it part of the queue, and a file without a row is removed at the next start. The directory is synced before that
/// commit, the file by `ContentFile.finish`. All calls block for as long as the disk takes.
package struct ContentFiles: Sendable {
    let directory: StoreDirectory

    /// Contents up to this many octets are better kept in memory and committed with the message.
    package static let threshold = 256 * 1_024

    /// Creates an empty file for the content of a message, mode 0600.
    package func create(for id: QueueID) throws(StoreFailure) -> ContentFile {
        let path = self.directory.contentFile(of: id)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw fileFailure("cannot create \(path)")
        }
        return ContentFile(path: path, descriptor: descriptor)
    }

    /// Syncs the directory, so that the names of new files outlive a loss of power.
    func syncDirectory() throws(StoreFailure) {
        try flush(self.directory.contents)
    }

    /// Removes the file of a message that was not committed, if its content is one.
    func discard(_ message: QueuedMessage) {
        if case .file = message.content.storage {
            self.remove(message.id)
        }
    }

    /// Removes the file of a message; one that is not there is no error.
    func remove(_ id: QueueID) {
        unlink(self.directory.contentFile(of: id))
    }
}

/// The content of one message on its way to the disk; used by one caller at a time.
///
/// Ends with `finish` or `discard`; without either the file is removed.
package final class ContentFile {
    /// Absolute; what goes into `MessageContent.Storage.file`.
    package let path: String
    /// Octets written so far.
    package private(set) var size = 0
    private var descriptor: Int32
    private var isFinished = false

    fileprivate init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    /// Writes all readable octets.
    package func append(_ buffer: ByteBuffer) throws(StoreFailure) {
        var rest = buffer
        while rest.readableBytes > 0 {
            let count = rest.withUnsafeReadableBytes { Foundation.write(self.descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR {
                continue
            }
            guard count > 0 else {
                throw fileFailure("cannot write \(self.path)")
            }
            rest.moveReaderIndex(forwardBy: count)
            self.size += count
        }
    }

    /// Flushes the content to the disk; after this the message can be enqueued.
    package func finish() throws(StoreFailure) {
        guard fdatasync(self.descriptor) == 0 else {
            throw fileFailure("cannot sync \(self.path)")
        }
        self.isFinished = true
        self.closeDescriptor()
    }

    /// Removes the file: the client went away, or the message was refused.
    package func discard() {
        self.closeDescriptor()
        unlink(self.path)
        self.isFinished = true
    }

    deinit {
        if !self.isFinished {
            self.discard()
        }
    }

    private func closeDescriptor() {
        if self.descriptor >= 0 {
            close(self.descriptor)
            self.descriptor = -1
        }
    }
}

/// A file operation that failed: no room, or anything else.
func fileFailure(_ what: String, _ code: Int32 = errno) -> StoreFailure {
    StoreFailure(code == ENOSPC || code == EDQUOT ? .full : .broken, "\(what): \(systemError(code))")
}
