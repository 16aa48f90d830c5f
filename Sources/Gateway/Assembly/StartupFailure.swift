/// Why the gateway cannot start: one sentence for people that says what to do.
package struct StartupFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
