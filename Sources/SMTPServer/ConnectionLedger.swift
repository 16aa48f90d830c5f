package import MailModel
import Synchronization

/// Counts open connections, in all and by client; listeners may share one.
package final class ConnectionLedger: Sendable {
    package enum Admission: Hashable, Sendable {
        case admitted
        case refused(Reply)
    }

    private struct Counts {
        var total = 0
        var byAddress: [IPAddress: Int] = [:]
    }

    private let counts = Mutex(Counts())
    private let yielding = Atomic(0)

    package init() {}

    /// Open connections in all.
    package var total: Int {
        self.counts.withLock { $0.total }
    }

    /// Whether so many of the allowed connections are open that idle ones have to make room.
    func isCrowded(limit: Int) -> Bool {
        self.total >= limit - limit / 8
    }

    /// Counts connections that let others go first; returns how many there are now.
    @discardableResult
    func noteYielding(_ change: Int) -> Int {
        self.yielding.wrappingAdd(change, ordering: .relaxed).newValue
    }

    func admit(_ address: IPAddress, limit: Int, limitForAddress: Int) -> Admission {
        self.counts.withLock { counts in
            guard counts.total < limit else {
                return .refused(Reply(421, EnhancedStatusCode(4, 3, 2), "too many connections, try again later"))
            }
            let ofAddress = counts.byAddress[address, default: 0]
            guard ofAddress < limitForAddress else {
                return .refused(Reply(421, EnhancedStatusCode(4, 7, 0), "too many connections from \(address)"))
            }
            counts.total += 1
            counts.byAddress[address] = ofAddress + 1
            return .admitted
        }
    }

    func release(_ address: IPAddress) {
        self.counts.withLock { counts in
            counts.total -= 1
            let left = counts.byAddress[address, default: 1] - 1
            counts.byAddress[address] = left > 0 ? left : nil
        }
    }
}
