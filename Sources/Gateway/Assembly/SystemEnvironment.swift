import Foundation

/// What the process is surrounded by: its environment and its files.
package enum SystemEnvironment {
    package static var current: [String: String] {
        ProcessInfo.processInfo.environment
    }

    /// The beginning of a text file, at most 64 KiB; nil when there is none, or something else than a file.
    static func text(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            return nil
        }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do {
            return String(decoding: try handle.read(upToCount: 65_536) ?? Data(), as: UTF8.self)
        } catch {
            // A folder, or a disk that fails, has no text for us.
            return nil
        }
    }

    /// The number of the user who owns a file or folder; nil when there is none.
    static func owner(of path: String) -> UInt32? {
        FileFacts(URL(fileURLWithPath: path).resolvingSymlinksInPath().path)?.owner
    }

    /// The number of the user that we act as.
    static var effectiveUser: UInt32 {
        geteuid()
    }

    /// The permission bits of a file; nil when there is none.
    static func permissions(of path: String) -> Int? {
        FileFacts(path)?.permissions
    }
}

/// What the system knows of a file, a link itself rather than what it points to.
///
/// Not asked with `stat`: whether the compiler takes that structure for Glibc's or for Foundation's depends on the order in
/// which it reads the files of a module that imports both.
struct FileFacts {
    let type: FileAttributeType
    /// Octets.
    let size: Int
    /// Permission bits, without the type.
    let permissions: Int
    let owner: UInt32

    /// Nil when there is nothing at the path, or when it may not be looked at.
    init?(_ path: String) {
        // With all of Foundation in the process numbers are `NSNumber`, which is no `BinaryInteger`.
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            let type = attributes[.type] as? FileAttributeType,
            let size = attributes[.size] as? NSNumber,
            let permissions = attributes[.posixPermissions] as? NSNumber,
            let owner = attributes[.ownerAccountID] as? NSNumber
        else {
            return nil
        }
        self.type = type
        self.size = size.intValue
        self.permissions = permissions.intValue
        self.owner = owner.uint32Value
    }
}
