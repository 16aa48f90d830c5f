import Delivery
import MailModel

/// What waits, for how long and why; and the ways that are left alone.
struct QueueCheck: DoctorCheck {
    let name = "queue"

    func run(_ surroundings: DoctorSurroundings) async -> [DoctorFinding] {
        guard surroundings.history != nil else {
            return [DoctorFinding(self.name, .skip, "there is no store yet")]
        }
        return Self.findings(surroundings.messages, now: surroundings.now)
            + surroundings.breakers.map { breaker in
                DoctorFinding("breaker", .warn, breaker.text, fact: .leftAlone("\(breaker.name) is left alone"))
            }
    }

    /// What is known of recipients, counted.
    private struct Census {
        var waiting: [(arrivedAt: Timestamp, reason: String)] = []
        var held = 0
        var lastDelivery: Timestamp?

        init(_ messages: [MessageRecord]) {
            for message in messages {
                for recipient in message.recipients {
                    self.count(recipient, arrivedAt: message.arrivedAt)
                }
            }
        }

        private mutating func count(_ recipient: RecipientRecord, arrivedAt: Timestamp) {
            switch recipient.state {
            case .active, .waiting: self.waiting.append((arrivedAt, recipient.lastFailure ?? "not tried yet"))
            case .held: self.held += 1
            case .delivered:
                let moment = recipient.finishedAt ?? arrivedAt
                self.lastDelivery = max(self.lastDelivery ?? moment, moment)
            case .bounced, .expired, .deleted: break
            }
        }
    }

    /// Judges what is known of messages.
    static func findings(_ messages: [MessageRecord], now: Timestamp) -> [DoctorFinding] {
        let census = Census(messages)
        let delivered = census.lastDelivery.map { DoctorFact.delivered(ago: now - $0) }
        let last =
            census.lastDelivery.map { "last delivery \(humanDuration(now - $0)) ago" } ?? "nothing was delivered yet"
        var findings: [DoctorFinding]
        if let oldest = census.waiting.map(\.arrivedAt).min() {
            findings = [self.waitingFinding(census.waiting.map(\.reason), age: now - oldest, last)]
            findings += delivered.map { [DoctorFinding("deliveries", .pass, last, fact: $0)] } ?? []
        } else {
            findings = [DoctorFinding("queue", .pass, "nothing waits; \(last)", fact: delivered)]
        }
        if census.held > 0 {
            let advice = "`hikyaku queue list`, `hikyaku queue release`"
            findings.append(DoctorFinding("held", .warn, "\(census.held) recipients wait for you: \(advice)"))
        }
        return findings
    }

    private static func waitingFinding(_ reasons: [String], age: Duration, _ last: String) -> DoctorFinding {
        let told = self.counted(reasons).joined(separator: "; ")
        return DoctorFinding(
            "queue",
            age > .seconds(900) ? .warn : .pass,
            "\(reasons.count) wait, the oldest for \(humanDuration(age)); \(last); \(told)",
            fact: .waiting(reasons.count, oldest: age, reason: self.mostCommon(reasons))
        )
    }

    /// The three most common reasons with their counts.
    private static func counted(_ reasons: [String]) -> [String] {
        let counts = Dictionary(reasons.map { ($0, 1) }, uniquingKeysWith: +)
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(3).map {
            "\($0.value)x \($0.key.prefix(160))"
        }
    }

    private static func mostCommon(_ reasons: [String]) -> String? {
        let counts = Dictionary(reasons.map { ($0, 1) }, uniquingKeysWith: +)
        return counts.max { ($0.value, $1.key) < ($1.value, $0.key) }.map { String($0.key.prefix(160)) }
    }
}
