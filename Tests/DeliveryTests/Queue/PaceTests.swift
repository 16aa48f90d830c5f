import Delivery
import Testing

@Suite("The pace of a destination")
struct PaceTests {
    private let policy = Pace.Policy(start: 5, maximum: 20)

    private func hear(_ words: [Pace.Word], _ pace: inout Pace) {
        for word in words {
            pace.hear(word, after: .seconds(1), begunAt: pace.cuts, self.policy)
        }
    }

    @Test("a stranger begins low, a way that the operator set up at the maximum")
    func begins() {
        #expect(Pace(self.policy, isTrusted: false).limit == 5)
        #expect(Pace(self.policy, isTrusted: true).limit == 20)
    }

    @Test("success raises it to the maximum and no further")
    func rises() {
        var pace = Pace(self.policy, isTrusted: false)
        self.hear(Array(repeating: .good, count: 3), &pace)
        #expect(pace.limit == 8)
        self.hear(Array(repeating: .good, count: 100), &pace)
        #expect(pace.limit == 20)
    }

    @Test("trouble of the operator's own way is its breaker's matter; that it is too fast is not")
    func trusted() {
        var pace = Pace(self.policy, isTrusted: true)
        self.hear(Array(repeating: .trouble, count: 9), &pace)
        #expect(pace.limit == 20)
        #expect(!pace.isProven)
        self.hear([.tooFast], &pace)
        #expect(pace.limit == 10)
    }

    /// The pace of a stranger to whom mail has flowed for a while.
    private func risen() -> Pace {
        var pace = Pace(self.policy, isTrusted: false)
        self.hear(Array(repeating: .good, count: 40), &pace)
        return pace
    }

    @Test("trouble halves it, down to one; afterwards it rises by one a round")
    func falls() {
        var pace = self.risen()
        self.hear([.trouble], &pace)
        #expect(pace.limit == 10)
        self.hear(Array(repeating: .trouble, count: 9), &pace)
        #expect(pace.limit == 1)
        self.hear([.good], &pace)
        #expect(pace.limit == 2)
        self.hear([.good], &pace)
        #expect(pace.limit == 2, "one in a round of two")
        self.hear([.good, .good], &pace)
        #expect(pace.limit == 3)
    }

    @Test("many that fail together are one trouble")
    func oneTrouble() {
        var pace = self.risen()
        for _ in 0..<20 {
            pace.hear(.trouble, after: .seconds(1), begunAt: 0, self.policy)
        }
        #expect(pace.limit == 10)
    }

    @Test("too fast: time between attempts, doubled within bounds and given up again")
    func intervals() {
        var pace = Pace(self.policy, isTrusted: true)
        self.hear([.tooFast, .tooFast], &pace)
        #expect(pace.interval == .seconds(1))
        self.hear(Array(repeating: .tooFast, count: 20), &pace)
        #expect(pace.interval == .seconds(30))
        self.hear(Array(repeating: .good, count: 7), &pace)
        #expect(pace.interval == .zero)
    }

    @Test("what says nothing of the destination changes nothing")
    func nothing() {
        var pace = Pace(self.policy, isTrusted: false)
        self.hear([.nothing, .nothing], &pace)
        #expect(pace.limit == 5)
        #expect(!pace.isProven)
    }
}
