package import MailModel
import Synchronization

/// Gives out queue ids: rising, never twice, also when the clock goes back.
package final class QueueIDSource: Sendable {
    private let last: Mutex<QueueID>

    /// Continues after the highest id that the store has ever held.
    package init(after last: QueueID?) {
        self.last = Mutex(last ?? QueueID(number: 0))
    }

    package func next() -> QueueID {
        let first = QueueID.first(at: .now)
        return self.last.withLock { last in
            last = max(last.next, first)
            return last
        }
    }
}
