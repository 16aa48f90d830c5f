import Delivery
import MailModel
import Testing

@Suite("The retry schedule")
struct RetryScheduleTests {
    let schedule = RetrySchedule(
        firstDelay: .seconds(30),
        maximumDelay: .seconds(1_800),
        outageDelay: .seconds(60)
    )

    @Test("doubles up to the maximum", arguments: [(1, 30), (2, 60), (3, 120), (6, 960), (7, 1_800), (500, 1_800)])
    func doubles(_ rounds: Int, _ seconds: Int) {
        #expect(self.schedule.delay(afterRounds: rounds, outage: false, chance: 0.5) == .seconds(seconds))
    }

    @Test("during an outage nobody waits longer than the outage delay")
    func capsOutages() {
        #expect(self.schedule.delay(afterRounds: 20, outage: true, chance: 0.5) == .seconds(60))
    }

    @Test("spreads by a fifth to either side")
    func spreads() {
        #expect(self.schedule.delay(afterRounds: 1, outage: false, chance: 0).wholeMilliseconds == 24_000)
        #expect(self.schedule.delay(afterRounds: 1, outage: false, chance: 1).wholeMilliseconds == 36_000)
    }
}
