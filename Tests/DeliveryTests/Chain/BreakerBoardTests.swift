import Delivery
import MailModel
import TestKit
import Testing

@Suite("Breakers")
struct BreakerBoardTests {
    let start = Timestamp(seconds: 1_795_514_400)
    let gmail = BreakerKey(provider: "gmail")

    private func board(_ remembered: [BreakerKey: BreakerState] = [:]) -> BreakerBoard {
        BreakerBoard(
            policy: .init(firstDelay: .seconds(10), maximumDelay: .seconds(60), probeInterval: .seconds(900)),
            remembered: remembered
        )
    }

    @Test("an open breaker refuses until its time, then lets one probe through")
    func halfOpens() {
        var board = self.board()
        _ = board.trip(self.gmail, by: .sample(.transient, .provider), at: self.start)
        #expect(board.permit("gmail", from: nil, to: nil, at: self.start) == .refused(until: self.start + .seconds(10)))
        #expect(board.permit("direct", from: nil, to: nil, at: self.start) == .allowed)
        let later = self.start + .seconds(10)
        #expect(board.permit("gmail", from: nil, to: nil, at: later) == .probe([self.gmail]))
        #expect(board.permit("gmail", from: nil, to: nil, at: later) == .refused(until: later + .seconds(10)))
        #expect(board.close(provider: "gmail", senderDomain: nil, destination: nil) == [self.gmail])
        #expect(board.permit("gmail", from: nil, to: nil, at: later) == .allowed)
    }

    @Test("what waited for another configuration is probed at once after a start, which reads it")
    func startsAfresh() {
        var before = self.board()
        let state = before.trip(self.gmail, by: .sample(.permanent, .provider), untilChanged: true, at: self.start)
        let later = self.start + .seconds(10)
        #expect(before.permit("gmail", from: nil, to: nil, at: later) == .refused(until: self.start + .seconds(900)))
        var after = self.board([self.gmail: state])
        #expect(after.permit("gmail", from: nil, to: nil, at: later) == .probe([self.gmail]))
    }

    struct Flush: CustomTestStringConvertible, Sendable {
        let testDescription: String
        var key = BreakerKey(provider: "gmail")
        let failure: Failure
        var untilChanged = false
        let isProbed: Bool
    }

    @Test(
        "on an operator's word one message tries what is left alone, but for a limit whose end is known",
        arguments: [
            Flush(testDescription: "down", failure: .sample(.transient, .provider), isProbed: true),
            Flush(
                testDescription: "bad credentials",
                failure: .sample(.permanent, .provider, .auth),
                untilChanged: true,
                isProbed: true
            ),
            Flush(
                testDescription: "a spent quota",
                failure: .sample(.transient, .provider, reason: .quotaExceeded, retryAfter: .seconds(86_400)),
                isProbed: false
            ),
            Flush(
                testDescription: "too many requests",
                failure: .sample(.transient, .provider, reason: .rateLimited, retryAfter: .seconds(600)),
                isProbed: false
            ),
            Flush(
                testDescription: "too many requests, without a word on when there were few enough",
                failure: .sample(.transient, .provider, reason: .rateLimited),
                isProbed: true
            ),
            Flush(
                testDescription: "a spent quota whose end is guessed",
                failure: .sample(
                    .transient,
                    .provider,
                    reason: .quotaExceeded,
                    retryAfter: .seconds(3_600),
                    isWaitGuessed: true
                ),
                isProbed: true
            ),
            Flush(
                testDescription: "a destination that found us too fast",
                key: BreakerKey(provider: "gmail", part: .destination("x.test")),
                failure: .sample(.transient, .destination, reason: .rateLimited, retryAfter: .seconds(600)),
                isProbed: true
            ),
        ]
    )
    func probesNow(_ flush: Flush) {
        var board = self.board()
        _ = board.trip(flush.key, by: flush.failure, untilChanged: flush.untilChanged, at: self.start)
        let now = self.start + .seconds(1)
        #expect(board.probeNow(at: now) == (flush.isProbed ? [] : [flush.key]))
        let permit = board.permit("gmail", from: nil, to: "x.test", at: now)
        guard flush.isProbed else {
            #expect(permit != .allowed && permit != .probe([flush.key]))
            return
        }
        #expect(permit == .probe([flush.key]))
        #expect(board.probeNow(at: now).isEmpty)
        #expect(board.permit("gmail", from: nil, to: "x.test", at: now) == .refused(until: now + .seconds(10)))
    }

    @Test("a limit whose end is told stays told when those that were under way hear of it without an end")
    func toldEndStays() {
        var board = self.board()
        let told = Failure.sample(.transient, .provider, reason: .rateLimited, retryAfter: .seconds(600))
        _ = board.trip(self.gmail, by: told, at: self.start)
        let state = board.trip(self.gmail, by: .sample(.transient, .provider, reason: .rateLimited), at: self.start)
        #expect(state.isEndTold)
        #expect(board.probeNow(at: self.start) == [self.gmail])
        let late = self.start + .seconds(600)
        _ = board.permit("gmail", from: nil, to: nil, at: late)
        #expect(!board.trip(self.gmail, by: .sample(.transient, .provider, reason: .rateLimited), at: late).isEndTold)
    }

    @Test("of single destinations nothing is remembered for ever; of providers everything")
    func forgets() {
        var board = self.board()
        let typo = BreakerKey(provider: "direct", part: .destination("gmial.test"))
        _ = board.trip(typo, by: .sample(.transient, .destination, .connect), at: self.start)
        _ = board.trip(self.gmail, by: .sample(.transient, .provider), at: self.start)
        #expect(board.forget(endedBefore: self.start + .seconds(10)) == [])
        #expect(board.forget(endedBefore: self.start + .seconds(11)) == [typo])
        #expect(board.open.keys.map(\.description) == ["gmail"])
    }

    @Test("each failed probe doubles the wait up to the maximum; attempts already under way do not")
    func backsOff() {
        var board = self.board()
        var now = self.start
        var waits: [Duration] = []
        for _ in 0..<5 {
            _ = board.permit("gmail", from: nil, to: nil, at: now)
            let state = board.trip(self.gmail, by: .sample(.transient, .provider), at: now)
            _ = board.trip(self.gmail, by: .sample(.transient, .provider), at: now)
            waits.append((state.openUntil ?? now) - now)
            now = state.openUntil ?? now
        }
        #expect(waits == [10, 20, 40, 60, 60].map { .seconds($0) })
    }

    @Test("a run of messages without an answer is a doubt; a success ends it, and a probe needs no run")
    func doubts() {
        var board = self.board()
        let count = { (board: inout BreakerBoard, messages: [Int64]) in
            messages.map { board.countDoubt(self.gmail, of: QueueID(number: $0)) }
        }
        #expect(count(&board, [1, 2]) == [false, false])
        #expect(board.close(provider: "gmail", senderDomain: nil, destination: nil) == [])
        #expect(count(&board, [1, 2, 1, 2, 3, 1]) == [false, false, false, false, true, true], "one counts once")
        let other = board.countDoubt(BreakerKey(provider: "direct"), of: QueueID(number: 1))
        #expect(!other)
        _ = board.trip(self.gmail, by: .sample(.transient, .provider), at: self.start)
        _ = board.close(self.gmail)
        _ = board.trip(self.gmail, by: .sample(.transient, .provider), at: self.start)
        _ = board.permit("gmail", from: nil, to: nil, at: self.start + .seconds(10))
        #expect(count(&board, [1]) == [true])
    }

    @Test("the time that the provider asks for is kept, within the longest allowed")
    func honoursRetryAfter() {
        var board = self.board()
        let asked = board.trip(
            self.gmail,
            by: .sample(.transient, .provider, retryAfter: .seconds(300)),
            at: self.start
        )
        #expect(asked.openUntil == self.start + .seconds(300))
        let key = BreakerKey(provider: "mailgun")
        let absurd = board.trip(key, by: .sample(.transient, .provider, retryAfter: .seconds(1 << 40)), at: self.start)
        #expect(absurd.openUntil == self.start + .seconds(86_400))
    }

    @Test("a sender's breaker leaves other senders alone, a destination's other destinations")
    func guardsParts() {
        var board = self.board()
        let sender = BreakerKey(provider: "sendgrid", part: .senderDomain("a.test"))
        _ = board.trip(sender, by: .sample(.permanent, .sender), untilChanged: true, at: self.start)
        _ = board.trip(
            BreakerKey(provider: "direct", part: .destination("x.test")),
            by: .sample(.transient, .destination, .resolve),
            at: self.start
        )
        #expect(board.permit("sendgrid", from: "b.test", to: nil, at: self.start) == .allowed)
        #expect(board.permit("sendgrid", from: "a.test", to: nil, at: self.start) != .allowed)
        #expect(board.permit("direct", from: "a.test", to: "y.test", at: self.start) == .allowed)
        #expect(board.permit("direct", from: "a.test", to: "x.test", at: self.start) != .allowed)
        #expect(board.earliestUse(of: ["direct", "sendgrid"], at: self.start) == nil)
    }

    @Test("without an end it is probed once an interval, and closed by an operator with all its parts")
    func waitsForChange() {
        var board = self.board()
        let state = board.trip(
            self.gmail,
            by: .sample(.permanent, .provider, .auth),
            untilChanged: true,
            at: self.start
        )
        #expect(state.openUntil == nil)
        let almost = self.start + .seconds(899)
        #expect(board.permit("gmail", from: nil, to: nil, at: almost) == .refused(until: self.start + .seconds(900)))
        #expect(board.earliestUse(of: ["gmail"], at: almost) == self.start + .seconds(900))
        #expect(board.permit("gmail", from: nil, to: nil, at: almost + .seconds(1)) == .probe([self.gmail]))
        board.endProbe([self.gmail])
        #expect(board.permit("gmail", from: nil, to: nil, at: almost + .seconds(1)) == .probe([self.gmail]))
        _ = board.trip(
            BreakerKey(provider: "gmail", part: .senderDomain("a.test")),
            by: .sample(.permanent, .sender),
            at: almost
        )
        #expect(board.close(self.gmail).count == 2)
        #expect(board.open.isEmpty)
    }
}
