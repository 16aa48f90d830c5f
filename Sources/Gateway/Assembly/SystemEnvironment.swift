import Foundation

/// What the process is surrounded by: its environment and its files.
package enum SystemEnvironment {
    package static var current: [String: String] {
        ProcessInfo.processInfo.environment
    }

    /// The number of the user who owns a file or folder; nil when there is none.
    static func owner(of path: String) -> UInt32? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_uid : nil
    }

    /// The number of the user that we act as.
    static var effectiveUser: UInt32 {
        geteuid()
    }

    /// The permission bits of a file; nil when there is none.
    static func permissions(of path: String) -> Int? {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        // With all of Foundation in the process this is an `NSNumber`, which is no `BinaryInteger`.
        return (attributes?[.posixPermissions] as? NSNumber)?.intValue
    }
}
