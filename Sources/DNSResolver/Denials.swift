import Synchronization

/// Who denied what a lookup asked for, also when the answer comes after the lookup is over.
final class Denials: Sendable {
    private struct State {
        var isRefuted = false
        var sources: Set<Int> = []
    }

    private let state = Mutex(State())

    /// Notes a denial; returns whether somebody had the records by then.
    func add(_ index: Int) -> Bool {
        self.state.withLock { state in
            state.sources.insert(index)
            return state.isRefuted
        }
    }

    /// Somebody has the records; returns who denied them so far.
    func refute() -> Set<Int> {
        self.state.withLock { state in
            state.isRefuted = true
            return state.sources
        }
    }
}
