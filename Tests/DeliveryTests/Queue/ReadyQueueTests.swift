import Delivery
import Testing

@Suite("The ready queue")
struct ReadyQueueTests {
    private typealias Queue = ReadyQueue<Int>

    @Test("takes turns between lanes, so that a backlog does not starve fresh mail")
    func takesTurns() {
        var queue = Queue(laneLimit: 10)
        let slow = Queue.Lane(provider: "direct", destination: "slow.test")
        let fresh = Queue.Lane(provider: "direct", destination: "fresh.test")
        (0..<5).forEach { queue.append($0, to: slow) }
        queue.append(100, to: fresh)
        #expect([queue.next()?.element, queue.next()?.element] == [0, 100])
    }

    @Test("runs no more in one lane than its limit, and goes on when one ends")
    func limitsLanes() {
        var queue = Queue(laneLimit: 2)
        let lane = Queue.Lane(provider: "direct", destination: "slow.test")
        (0..<4).forEach { queue.append($0, to: lane) }
        #expect([queue.next()?.element, queue.next()?.element, queue.next()?.element] == [0, 1, nil])
        queue.finish(lane)
        #expect(queue.next()?.element == 2)
        #expect(queue.next() == nil)
        #expect((queue.waitingCount, queue.runningCount) == (1, 2))
    }

    @Test("any order of beginnings and ends keeps the counts and loses nothing", arguments: 1...20)
    func losesNothing(_ seed: UInt64) {
        var random = seed &* 0x9E37_79B9_7F4A_7C15
        func next(_ bound: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (random >> 33) % bound
        }
        var queue = Queue(laneLimit: 3)
        var running: [Queue.Lane] = []
        var seen: Set<Int> = []
        for number in 0..<500 {
            queue.append(number, to: .init(provider: "p", destination: "d\(next(7))"))
            if next(2) == 0, let (lane, element) = queue.next() {
                running.append(lane)
                seen.insert(element)
            }
            if next(3) == 0, !running.isEmpty {
                queue.finish(running.remove(at: Int(next(UInt64(running.count)))))
            }
        }
        running.forEach { queue.finish($0) }
        while let (lane, element) = queue.next() {
            seen.insert(element)
            queue.finish(lane)
        }
        #expect(seen.count == 500)
        #expect((queue.waitingCount, queue.runningCount) == (0, 0))
    }
}
