import Delivery
import MailModel

/// What waits, for how long and why; and the ways that are left alone.
struct QueueCheck: DoctorCheck {
    let name = "queue"

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        guard let history = surroundings.history else {
            return [DoctorFinding(self.name, .skip, surroundings.storeTrouble ?? "there is no store yet")]
        }
        return await self.waiting(history, now: surroundings.now)
            + surroundings.breakers.map { breaker in
                DoctorFinding("breaker", .warn, breaker.text, fact: .leftAlone("\(breaker.name) is left alone"))
            } + surroundings.otherBreakers.map { DoctorFinding("breaker", .warn, $0) }
    }

    private func waiting(_ history: any History, now: Timestamp) async -> [DoctorFinding] {
        do {
            return Self.findings(try await history.backlog(), now: now)
        } catch {
            return [DoctorFinding(self.name, .skip, "the store cannot be read: \(error)")]
        }
    }

    /// Judges what is not finished.
    static func findings(_ backlog: Backlog, now: Timestamp) -> [DoctorFinding] {
        let delivered = backlog.lastDelivery.map { DoctorFact.delivered(ago: now - $0) }
        let last =
            backlog.lastDelivery.map { "last delivery \(humanDuration(now - $0)) ago" } ?? "nothing was delivered yet"
        var findings: [DoctorFinding]
        if let oldest = backlog.oldestArrival {
            findings = [self.waitingFinding(backlog, age: now - oldest, last)]
            findings += delivered.map { [DoctorFinding("deliveries", .pass, last, fact: $0)] } ?? []
        } else {
            findings = [DoctorFinding("queue", .pass, "nothing waits; \(last)", fact: delivered)]
        }
        if backlog.held > 0 {
            let advice = "`hikyaku queue list`, `hikyaku queue release`"
            findings.append(DoctorFinding("held", .warn, "\(backlog.held) recipients wait for you: \(advice)"))
        }
        return findings
    }

    private static func waitingFinding(_ backlog: Backlog, age: Duration, _ last: String) -> DoctorFinding {
        let reasons = backlog.reasons.map { (count: $0.count, text: $0.text?.prefix(160) ?? "not tried yet") }
        let told = reasons.map { "\($0.count)x \($0.text)" }.joined(separator: "; ")
        return DoctorFinding(
            "queue",
            age > .seconds(900) ? .warn : .pass,
            "\(backlog.waiting) wait, the oldest for \(humanDuration(age)); \(last); \(told)",
            fact: .waiting(backlog.waiting, oldest: age, reason: reasons.first.map { String($0.text) })
        )
    }
}
