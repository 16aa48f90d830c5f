import Synchronization

/// What the clients of all listeners make us hold, in octets: input, envelopes and content on their way to the store.
///
/// Nothing is refused for it as long as there is enough. Beyond half of the limit content goes to disk at once; beyond the
/// limit whoever holds more than a fair share, and cannot be relieved by the disk, is sent away. What a client holds below
/// `grain` is not counted: the limit of connections bounds it.
package final class MemoryBudget: Sendable {
    /// Up to here a client costs no counting, and is never sent away for want of memory.
    package static let grain = 16 * 1_024

    package let limit: Int
    private let held = Atomic(0)

    package init(limit: Int = 64 * 1_048_576) {
        self.limit = limit
    }

    /// Octets held by all clients that hold more than a little.
    package var used: Int {
        self.held.load(ordering: .relaxed)
    }

    /// Whether content should not stay in memory any more.
    var isTight: Bool {
        self.used > self.limit / 2
    }

    /// Whether somebody has to go.
    var isExhausted: Bool {
        self.used > self.limit
    }

    /// Octets that one of so many clients may hold when there is no more.
    func fairShare(of clients: Int) -> Int {
        max(Self.grain, self.limit / max(1, clients))
    }

    func adjust(by octets: Int) {
        self.held.wrappingAdd(octets, ordering: .relaxed)
    }
}
