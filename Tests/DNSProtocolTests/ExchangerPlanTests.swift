import DNSProtocol
import Testing

struct ExchangerPlanTests {
    @Test("where we are among the exchangers, those of our preference and behind are left out (RFC 5321 §5.1)")
    func endsAtUs() {
        let records = [(30, "far"), (20, "beside"), (20, "us"), (10, "near"), (40, "us")].map {
            MailExchanger(preference: $0.0, host: "\($0.1).test")
        }
        var generator = SystemRandomNumberGenerator()
        let plan = { (own: String, answer: Lookup<MailExchanger>) in
            ExchangerPlan(domain: "shop.test", answer: answer, endingAt: { $0 == own }, using: &generator)
        }
        let answer = Lookup.records(records, timeToLive: .seconds(60))
        #expect(plan("us.test", answer) == .hosts(["near.test", "us.test"]))
        #expect(plan("near.test", answer) == .hosts(["near.test"]))
        #expect(plan("shop.test", .noData(timeToLive: .zero)) == .hosts(["shop.test"]))
        guard case .hosts(let all) = plan("other.test", answer) else {
            Issue.record("no hosts")
            return
        }
        #expect(all.count == 4 && all.first == "near.test")
    }
}
