import Delivery
import Testing

@Suite("The ready queue")
struct ReadyQueueTests {
    private typealias Queue = ReadyQueue<Int>
    private let now = ContinuousClock.now

    private func queue(start: Int = 5, maximum: Int = 10, doubtful: Int = 100) -> Queue {
        Queue(policy: .init(start: start, maximum: maximum), doubtfulLimit: doubtful)
    }

    private func lane(_ destination: String) -> Queue.Lane {
        Queue.Lane(provider: "direct", destination: destination)
    }

    private func begin(_ queue: inout Queue) throws -> Queue.Turn {
        let turn = queue.next(at: self.now)
        return try #require(turn)
    }

    @Test("takes turns between lanes, so that a backlog does not starve fresh mail")
    func takesTurns() {
        var queue = self.queue()
        (0..<5).forEach { queue.append($0, to: self.lane("slow.test"), at: self.now) }
        queue.append(100, to: self.lane("fresh.test"), at: self.now)
        #expect([queue.next(at: self.now)?.element, queue.next(at: self.now)?.element] == [0, 100])
    }

    @Test("runs no more in one lane than its pace allows, and goes on when one ends")
    func limitsLanes() throws {
        var queue = self.queue(start: 2)
        (0..<4).forEach { queue.append($0, to: self.lane("slow.test"), at: self.now) }
        let first = try self.begin(&queue)
        #expect([queue.next(at: self.now)?.element, queue.next(at: self.now)?.element] == [1, nil])
        queue.finish(first, .nothing, at: self.now)
        #expect(queue.next(at: self.now)?.element == 2)
        #expect(queue.next(at: self.now) == nil)
        #expect((queue.waitingCount, queue.runningCount) == (1, 2))
    }

    @Test("a destination that takes its mail is given more of it at a time")
    func rises() throws {
        var queue = self.queue(start: 2, maximum: 4)
        (0..<20).forEach { queue.append($0, to: self.lane("good.test"), at: self.now) }
        for _ in 0..<3 {
            queue.finish(try self.begin(&queue), .good, at: self.now)
        }
        let running = (0..<9).compactMap { _ in queue.next(at: self.now) }
        #expect(running.count == 4)
    }

    @Test("what was learned of a destination outlives its mail")
    func remembers() throws {
        var queue = self.queue(start: 4)
        queue.append(1, to: self.lane("bad.test"), at: self.now)
        queue.finish(try self.begin(&queue), .trouble, at: self.now)
        #expect(queue.pace(of: self.lane("bad.test")).limit == 2)
        #expect(queue.pace(of: self.lane("other.test")).limit == 4)
    }

    @Test("a destination that found us too fast is left in peace between two attempts")
    func rests() throws {
        var queue = self.queue()
        (0..<3).forEach { queue.append($0, to: self.lane("strict.test"), at: self.now) }
        queue.finish(try self.begin(&queue), .tooFast, at: self.now)
        #expect(queue.next(at: self.now) == nil)
        let start = try #require(queue.nextStart)
        #expect(start > self.now)
        #expect(queue.next(at: start)?.element == 1)
        #expect(queue.next(at: start) == nil)
        #expect(queue.nextStart == start + .milliseconds(500))
    }

    @Test("lanes in doubt together leave places for mail to where it flows")
    func leavesPlaces() throws {
        var queue = self.queue(doubtful: 6)
        queue.append(0, to: self.lane("good.test"), at: self.now)
        queue.finish(try self.begin(&queue), .good, at: self.now)
        for number in 1...40 {
            queue.append(number, to: self.lane("silent\(number % 4).test"), at: self.now)
        }
        var stuck: [Queue.Turn] = []
        while let turn = queue.next(at: self.now) {
            stuck.append(turn)
        }
        #expect(stuck.count == 6)
        queue.append(100, to: self.lane("good.test"), at: self.now)
        #expect(queue.next(at: self.now)?.element == 100)
        queue.finish(stuck.removeFirst(), .trouble, at: self.now)
        #expect(queue.next(at: self.now) != nil)
    }

    @Test("any order of beginnings and ends keeps the counts and loses nothing", arguments: 1...20)
    func losesNothing(_ seed: UInt64) {
        var random = seed &* 0x9E37_79B9_7F4A_7C15
        func next(_ bound: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (random >> 33) % bound
        }
        let words: [Pace.Word] = [.good, .trouble, .tooFast, .nothing]
        var now = self.now
        var queue = self.queue(start: 2, maximum: 3, doubtful: 4)
        var running: [Queue.Turn] = []
        var seen: Set<Int> = []
        for number in 0..<500 {
            queue.append(number, to: .init(provider: "p", destination: "d\(next(7))"), at: self.now)
            now += .milliseconds(Int(next(400)))
            if next(2) == 0, let turn = queue.next(at: now) {
                running.append(turn)
                seen.insert(turn.element)
            }
            if next(3) == 0, !running.isEmpty {
                queue.finish(running.remove(at: Int(next(UInt64(running.count)))), words[Int(next(4))], at: now)
            }
        }
        running.forEach { queue.finish($0, .nothing, at: now) }
        while queue.waitingCount > 0 {
            guard let turn = queue.next(at: now) else {
                now = queue.nextStart ?? now + .seconds(1)
                continue
            }
            seen.insert(turn.element)
            queue.finish(turn, .good, at: now)
        }
        #expect(seen.count == 500)
        #expect((queue.waitingCount, queue.runningCount) == (0, 0))
    }

    @Test("what is taken out at the stop is all that had not begun")
    func removesWaiting() throws {
        var queue = self.queue(start: 1)
        (0..<9).forEach { queue.append($0, to: self.lane("d\($0 % 3).test"), at: self.now) }
        let turn = try self.begin(&queue)
        #expect(Set(queue.removeWaiting() + [turn.element]) == Set(0..<9))
        queue.finish(turn, .good, at: self.now)
        #expect(queue.next(at: self.now) == nil)
        #expect((queue.waitingCount, queue.runningCount) == (0, 0))
    }

    @Test("what is taken out on somebody's word leaves lanes that take turns as before")
    func removesSome() throws {
        var queue = self.queue(start: 1)
        (0..<6).forEach { queue.append($0, to: self.lane("d\($0 % 2).test"), at: self.now) }
        let turn = try self.begin(&queue)
        #expect(turn.element == 0)
        #expect(queue.removeWaiting { $0 % 2 == 0 || $0 == 3 }.sorted() == [2, 3, 4])
        #expect((queue.waitingCount, queue.runningCount) == (2, 1))
        queue.finish(turn, .nothing, at: self.now)
        // One lane is listed and has become empty, and takes what comes later all the same.
        #expect(queue.removeWaiting { $0 == 1 || $0 == 5 }.count == 2)
        queue.append(7, to: self.lane("d1.test"), at: self.now)
        #expect(queue.next(at: self.now)?.element == 7)
        #expect(queue.removeWaiting().isEmpty)
        queue.append(9, to: self.lane("d1.test"), at: self.now)
        queue.append(8, to: self.lane("d0.test"), at: self.now)
        #expect([queue.next(at: self.now)?.element, queue.next(at: self.now)?.element] == [8, nil])
    }

    @Test("a lane that was emptied before its turn is remembered, and listed again with what comes next")
    func emptiedLanes() throws {
        var queue = self.queue(start: 4)
        queue.append(1, to: self.lane("bad.test"), at: self.now)
        queue.finish(try self.begin(&queue), .trouble, at: self.now)
        queue.append(2, to: self.lane("bad.test"), at: self.now)
        #expect(queue.removeWaiting() == [2])
        #expect(queue.next(at: self.now) == nil)
        #expect(queue.pace(of: self.lane("bad.test")).limit == 2)
        queue.append(3, to: self.lane("bad.test"), at: self.now)
        #expect(queue.next(at: self.now)?.element == 3)
    }
}
