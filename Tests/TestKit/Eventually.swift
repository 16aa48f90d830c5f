/// Waits until a condition holds, looking again and again; throws `NeverHappened` after 20 s.
package func eventually(
    _ what: String = "what was waited for came",
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(20)
    while !(try await condition()) {
        guard ContinuousClock.now < end else {
            throw NeverHappened(description: "it never happened that \(what)")
        }
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// Something that should have come to be did not.
package struct NeverHappened: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) {
        self.description = description
    }
}
