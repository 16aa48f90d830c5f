import MailModel

/// What the lanes that are full put off, and to when: each message about once, however many there are.
///
/// Every message that is put off gets a place behind those before it, at twice the speed at which the lane works now, so
/// that the lane never runs dry and few come too early.
struct Crowd {
    /// The farthest place; speeds change.
    private static let farthest = Duration.seconds(600)
    private static let nearest = Duration.milliseconds(100)

    typealias Lane = ReadyQueue<Work>.Lane

    /// The moment after the last place that was given.
    private var ends: [Lane: Timestamp] = [:]
    /// What the leasing that runs lets into each lane, and into all of them.
    private var granted: [Lane: Int] = [:]
    private var grantedCount = 0

    /// A leasing begins; what the last one let in is in its lanes by now.
    mutating func beginLeasing(at now: Timestamp) {
        self.granted.removeAll(keepingCapacity: true)
        self.grantedCount = 0
        self.ends = self.ends.filter { $0.value > now }
    }

    /// Takes a place in a lane where `waiting` stand already, if it may fill as much of the memory as stays free beside it.
    mutating func hasRoom(in lane: Lane, beside waiting: Int, free: Int) -> Bool {
        guard waiting + self.granted[lane, default: 0] < free - self.grantedCount else {
            return false
        }
        self.granted[lane, default: 0] += 1
        self.grantedCount += 1
        return true
    }

    /// A way has closed: the destinations whose messages need not wait for room in it any more.
    mutating func disperse(_ closed: BreakerKey) -> [String] {
        let lanes = self.ends.keys.filter { lane in
            lane.provider == closed.provider
                && (closed.part == .whole || lane.destination.map { closed.part == .destination($0) } == true)
        }
        lanes.forEach { self.ends[$0] = nil }
        return lanes.compactMap(\.destination)
    }

    /// When to look again at a message that finds its lane full; `chance` spreads those for which there is no place.
    mutating func nextPlace(
        in lane: Lane,
        of queue: ReadyQueue<Work>,
        at now: Timestamp,
        chance: Double
    ) -> Timestamp {
        let first = now + max(queue.expectedWait(in: lane) / 4, Self.nearest)
        let place = max(self.ends[lane] ?? first, first)
        guard place < now + Self.farthest else {
            return now + Self.farthest * (0.5 + chance / 2)
        }
        self.ends[lane] = place + queue.expectedInterval(of: lane) / 2
        return place
    }
}
