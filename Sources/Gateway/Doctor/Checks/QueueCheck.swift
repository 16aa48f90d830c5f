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

    /// Judges what is known of messages, the newest last.
    static func findings(_ messages: [MessageRecord], now: Timestamp) -> [DoctorFinding] {
        var waiting: [(arrivedAt: Timestamp, reason: String)] = []
        var held = 0
        var lastDelivery: Timestamp?
        for message in messages {
            for recipient in message.recipients {
                switch recipient.state {
                case .active, .waiting:
                    waiting.append((message.arrivedAt, recipient.lastFailure ?? "not tried yet"))
                case .held: held += 1
                case .delivered:
                    lastDelivery = max(
                        lastDelivery ?? .init(microseconds: 0),
                        recipient.finishedAt ?? message.arrivedAt
                    )
                case .bounced, .expired, .deleted: break
                }
            }
        }
        let delivered = lastDelivery.map { DoctorFact.delivered(ago: now - $0) }
        let last = lastDelivery.map { "last delivery \(humanDuration(now - $0)) ago" } ?? "nothing was delivered yet"
        var findings: [DoctorFinding] = []
        if let oldest = waiting.map(\.arrivedAt).min() {
            let reasons = Self.counted(waiting.map(\.reason))
            let age = now - oldest
            let detail =
                "\(waiting.count) wait, the oldest for \(humanDuration(age)); \(last); \(reasons.joined(separator: "; "))"
            let fact = DoctorFact.waiting(waiting.count, oldest: age, reason: Self.mostCommon(waiting.map(\.reason)))
            findings.append(DoctorFinding("queue", age > .seconds(900) ? .warn : .pass, detail, fact: fact))
        } else {
            findings.append(DoctorFinding("queue", .pass, "nothing waits; \(last)"))
        }
        findings[0].fact = findings[0].fact ?? delivered
        if findings[0].fact != delivered, let delivered {
            findings.append(DoctorFinding("deliveries", .pass, last, fact: delivered))
        }
        if held > 0 {
            findings.append(
                DoctorFinding(
                    "held",
                    .warn,
                    "\(held) recipients wait for you: `hikyaku queue list`, `hikyaku queue release`"
                )
            )
        }
        return findings
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
