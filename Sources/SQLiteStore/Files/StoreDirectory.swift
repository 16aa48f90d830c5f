import Delivery
import Foundation
import MailModel

/// Where everything of one store lies.
struct StoreDirectory: Sendable {
    /// Absolute, without a final slash.
    let path: String

    init(_ path: String) {
        self.path = URL(fileURLWithPath: path).standardizedFileURL.path
    }

    var database: String { self.path + "/hikyaku.db" }
    var writeAheadLog: String { self.database + "-wal" }
    var lock: String { self.path + "/hikyaku.lock" }
    var contents: String { self.path + "/content" }

    /// Makes the directories where they are missing, readable by nobody else.
    func create() throws(StoreFailure) {
        for directory in [self.path, self.contents] {
            try self.create(directory)
        }
    }

    /// Makes a directory, with those above it, whose names outlive a loss of power.
    private func create(_ directory: String) throws(StoreFailure) {
        guard !exists(directory) else {
            return
        }
        let parent = URL(fileURLWithPath: directory).deletingLastPathComponent().path
        try self.create(parent)
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else {
            throw fileFailure("cannot create the directory \(directory)")
        }
        try flush(parent)
    }

    /// Refuses to begin an empty queue where there are remains of another one.
    ///
    /// The generation is what the lock file remembers of the last run; 0 when there was none.
    func checkNothingIsLost(generation: Int64) throws(StoreFailure) {
        guard size(self.database) == 0 else {
            return
        }
        let remains: String
        if generation > 0 {
            remains = "\(self.lock) remembers a queue"
        } else if size(self.writeAheadLog) > 0 {
            remains = "\(self.writeAheadLog) is there"
        } else if let file = try self.contentFiles().first {
            remains = "\(self.contents)/\(file.name) is there"
        } else {
            return
        }
        throw StoreFailure(
            .broken,
            "the database \(self.database) is missing or empty, but \(remains): bring it back, or move "
                + "\(self.path) away to begin with an empty queue"
        )
    }

    /// Refuses to open a database whose write-ahead log lost something of what had been committed to it.
    ///
    /// SQLite would take what is left for all there was. Nothing has been changed when this throws.
    func checkLogIsWhole(since mark: LogMark?) throws(StoreFailure) {
        guard let damage = try WriteAheadLog(self.writeAheadLog).damage(since: mark) else {
            return
        }
        throw StoreFailure(
            .broken,
            "the write-ahead log \(self.writeAheadLog) is damaged: \(damage)\(damageAdvice); or remove \(self.lock) to "
                + "go on without what it held"
        )
    }

    /// Makes an empty database file that only its owner can read; SQLite gives its log the same mode.
    func createDatabaseFile() throws(StoreFailure) {
        let descriptor = open(self.database, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw fileFailure("cannot write \(self.database)")
        }
        close(descriptor)
    }

    /// The content files that are there, with the message that each belongs to; others are not ours and not listed.
    func contentFiles() throws(StoreFailure) -> [(id: QueueID, name: String)] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: self.contents)
        } catch {
            throw StoreFailure(.broken, "cannot list \(self.contents): \(error.localizedDescription)")
        }
        return names.compactMap { name in
            guard name.hasSuffix(".eml"), let id = QueueID(name.dropLast(4)) else {
                return nil
            }
            return (id, name)
        }
    }

    /// The file for the content of a message; made from the queue id alone.
    func contentFile(of id: QueueID) -> String {
        "\(self.contents)/\(id).eml"
    }
}

/// Flushes a file to the disk, or a directory, so that the names in it outlive a loss of power.
func flush(_ path: String) throws(StoreFailure) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        throw fileFailure("cannot open \(path)")
    }
    let code = fsync(descriptor)
    let error = errno
    close(descriptor)
    guard code == 0 else {
        throw fileFailure("cannot sync \(path)", error)
    }
}

/// Whether anything is at the path.
func exists(_ path: String) -> Bool {
    access(path, F_OK) == 0
}

/// Says that a path may not be used, and who may: its owner, or that of the nearest folder that can be looked at.
package func permissionDenied(_ path: String) -> String {
    var status = stat()
    var known = path
    while stat(known, &status) != 0 {
        let parent = (known as NSString).deletingLastPathComponent
        guard parent != known, !parent.isEmpty else {
            return "permission denied on \(path): run this as the gateway's user"
        }
        known = parent
    }
    return "permission denied on \(path): run this as the gateway's user (uid \(status.st_uid))"
}

/// Octets of the file at the path; 0 when there is none.
func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// The words of the operating system for the error of the last call.
func systemError(_ code: Int32 = errno) -> String {
    String(cString: strerror(code))
}
