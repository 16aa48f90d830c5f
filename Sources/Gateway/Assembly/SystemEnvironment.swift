import Foundation

/// What the process is surrounded by: its environment and its files.
package enum SystemEnvironment {
    package static var current: [String: String] {
        ProcessInfo.processInfo.environment
    }

    /// The permission bits of a file; nil when there is none.
    static func permissions(of path: String) -> Int? {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        // With all of Foundation in the process this is an `NSNumber`, which is no `BinaryInteger`.
        return (attributes?[.posixPermissions] as? NSNumber)?.intValue
    }
}
