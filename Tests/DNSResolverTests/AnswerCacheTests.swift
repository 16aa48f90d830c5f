import DNSProtocol
import MailModel
import Testing

@testable import DNSResolver

@Suite("The cache of answers")
struct AnswerCacheTests {
    private func question(_ name: String) throws -> Question {
        Question(.mx, try #require(DomainName(name)))
    }

    private func records(_ timeToLive: UInt32) -> KnownAnswer {
        KnownAnswer(interpretation: .records([.address(.v4(1))], timeToLive: timeToLive))
    }

    @Test(
        "an answer lives as long as its TTL says, but a second at least and an hour at most",
        arguments: [(0, 1), (60, 60), (604_800, 3_600)] as [(UInt32, Int)]
    )
    func bounds(_ timeToLive: UInt32, _ seconds: Int) throws {
        let cache = AnswerCache(limit: 10)
        let question = try self.question("shop.test")
        let before = ContinuousClock.now
        cache.store(self.records(timeToLive), for: question, confirmed: false)
        let after = ContinuousClock.now
        #expect(cache.answer(to: question, confirmed: true, at: before + .seconds(seconds) - .milliseconds(1)) != nil)
        #expect(cache.answer(to: question, confirmed: true, at: after + .seconds(seconds)) == nil)
    }

    @Test("a denial that nobody confirmed is none where it must be confirmed")
    func confirmed() throws {
        let cache = AnswerCache(limit: 10)
        let question = try self.question("shop.test")
        let denial = KnownAnswer(interpretation: .noSuchName(timeToLive: 60))
        cache.store(denial, for: question, confirmed: false)
        #expect(cache.answer(to: question, confirmed: false) != nil)
        #expect(cache.answer(to: question, confirmed: true) == nil)
        cache.store(denial, for: question, confirmed: true)
        #expect(cache.answer(to: question, confirmed: true) != nil)
    }

    @Test("failures are never kept here, and the number of answers is bounded")
    func bounded() throws {
        let cache = AnswerCache(limit: 10)
        let failing = try self.question("failing.test")
        cache.store(KnownAnswer(interpretation: .failed(.silence)), for: failing, confirmed: true)
        #expect(cache.answer(to: failing, confirmed: false) == nil)
        let questions = try (0..<100).map { try self.question("host\($0).test") }
        questions.forEach { cache.store(self.records(60), for: $0, confirmed: true) }
        #expect(questions.count { cache.answer(to: $0, confirmed: true) != nil } <= 10)
        #expect(questions.last.map { cache.answer(to: $0, confirmed: true) != nil } == true)
    }
}
