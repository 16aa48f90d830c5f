import Foundation
import NIOCore
import PostfixQueue

/// The queue directory of a Postfix instance on this machine.
struct PostfixSpool: Sendable {
    /// A queue whose messages are taken over.
    enum Queue: String, CaseIterable, Codable, Sendable {
        case incoming, active, deferred, hold
    }

    /// A file that may hold a message.
    struct File: Sendable {
        let queue: Queue
        let queueID: String
        let path: String
    }

    /// Why a file is left where it is.
    enum Unreadable: Error, CustomStringConvertible {
        case incomplete
        case tooLarge(Int)
        case failed(String)

        var description: String {
            switch self {
            case .incomplete: "Postfix had not written it to its end, so its client was told nothing"
            case .tooLarge(let limit): "it is larger than \(limit >> 20) MiB"
            case .failed(let reason): reason
            }
        }
    }

    /// The largest file that is read, in octets.
    static let fileLimit = 160 << 20
    /// Postfix spreads its files over this many levels of folders at most.
    private static let depthLimit = 16

    let path: String

    /// Throws a sentence for the operator when there is no queue.
    init(_ path: String) throws {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        guard Queue.allCases.contains(where: { isDirectory("\(self.path)/\($0.rawValue)") }) else {
            throw StartupFailure(
                "\(self.path) is no queue directory of Postfix: it has no folder deferred, active or incoming. "
                    + "`postconf queue_directory` names it, usually /var/spool/postfix"
            )
        }
    }

    /// Everything in the queues that is named like a message, oldest names first within a queue.
    func files() throws -> [File] {
        try Queue.allCases.flatMap { queue in
            try self.names(under: "\(self.path)/\(queue.rawValue)", depth: 0)
                .map { File(queue: queue, queueID: $0.name, path: $0.path) }
                .sorted { $0.queueID < $1.queueID }
        }
    }

    /// Messages that were submitted by command and that no Postfix has picked up yet.
    var submittedByCommand: Int {
        // A folder that is not there or closed to us holds nothing that could be told of.
        ((try? self.names(under: "\(self.path)/maildrop", depth: 0)) ?? []).count
    }

    /// The octets of a file that Postfix wrote to its end, which it marks by making it executable.
    func read(_ file: File) throws(Unreadable) -> ByteBuffer {
        guard let facts = FileFacts(file.path), facts.type == .typeRegular else {
            throw .failed("it is no regular file")
        }
        guard facts.permissions & 0o100 != 0 else {
            throw .incomplete
        }
        guard facts.size <= Self.fileLimit else {
            throw .tooLarge(Self.fileLimit)
        }
        let descriptor = open(file.path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .failed(systemError())
        }
        defer { close(descriptor) }
        var buffer = ByteBuffer()
        buffer.reserveCapacity(facts.size)
        while true {
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 65_536) { space in
                max(0, Self.readOnce(descriptor, space))
            }
            guard count > 0 else {
                // A short read is noticed by the parser: the file then has no end.
                return buffer
            }
            guard buffer.readableBytes <= Self.fileLimit else {
                throw .tooLarge(Self.fileLimit)
            }
        }
    }

    /// Moves a file to `taken-over/QUEUE/ID` in the same spool, where Postfix never looks.
    func moveAside(_ file: File) throws {
        let parent = "\(self.path)/taken-over"
        let folder = "\(parent)/\(file.queue.rawValue)"
        for directory in [parent, folder] where mkdir(directory, 0o700) != 0 && errno != EEXIST {
            throw StartupFailure("cannot make \(directory): \(systemError())")
        }
        let target = "\(folder)/\(file.queueID)"
        guard rename(file.path, target) == 0 else {
            throw StartupFailure("cannot move it to \(target): \(systemError())")
        }
    }

    private static func readOnce(_ descriptor: Int32, _ space: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let count = systemRead(descriptor, space.baseAddress, space.count)
            guard count < 0, errno == EINTR else {
                return count
            }
        }
    }

    private func names(under folder: String, depth: Int) throws -> [(name: String, path: String)] {
        guard isDirectory(folder), depth < Self.depthLimit else {
            return []
        }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw StartupFailure("cannot list \(folder): run this as root, to whom the queue of Postfix is open")
        }
        return try names.flatMap { name -> [(name: String, path: String)] in
            let path = "\(folder)/\(name)"
            if isDirectory(path) {
                return try self.names(under: path, depth: depth + 1)
            }
            return QueueFile.isQueueID(name) ? [(name, path)] : []
        }
    }
}

/// Keeps Postfix from starting while its queue is taken over, by the lock that its master process takes.
final class SpoolLock {
    private let descriptor: Int32

    /// Nil when the spool has no lock file, so that no Postfix can ever have run on it.
    ///
    /// Throws a sentence for the operator when the lock is held: Postfix runs.
    init?(_ spool: PostfixSpool) throws {
        let path = "\(spool.path)/pid/master.pid"
        self.descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard self.descriptor >= 0 else {
            guard errno == ENOENT || errno == ENOTDIR else {
                throw StartupFailure("cannot open \(path): \(systemError()); run this as root")
            }
            return nil
        }
        guard flock(self.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var bytes = [UInt8](repeating: 0, count: 32)
            let count = max(0, pread(self.descriptor, &bytes, bytes.count, 0))
            let pid = String(decoding: bytes.prefix(count).filter { (0x30...0x39).contains($0) }, as: UTF8.self)
            close(self.descriptor)
            throw PostfixIsRunning(spool: spool.path, process: pid)
        }
    }

    deinit {
        close(self.descriptor)
    }
}

/// Postfix holds the lock of its spool.
package struct PostfixIsRunning: Error, CustomStringConvertible {
    let spool: String
    let process: String

    package var description: String {
        "Postfix is running on \(self.spool)\(self.process.isEmpty ? "" : " (process \(self.process))"): stop it first, "
            + "with `postfix stop` or by stopping its container, so that no message is sent twice; `--dry-run` works "
            + "beside it, and `--force` takes over all the same"
    }
}

private func isDirectory(_ path: String) -> Bool {
    FileFacts(path)?.type == .typeDirectory
}

private func systemError(_ code: Int32 = errno) -> String {
    String(cString: strerror(code))
}

/// `read(2)`, which the method of that name hides.
private func systemRead(_ descriptor: Int32, _ target: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, target, count)
}
