import Foundation

/// The environment of the process.
package enum SystemEnvironment {
    package static var current: [String: String] {
        ProcessInfo.processInfo.environment
    }
}
