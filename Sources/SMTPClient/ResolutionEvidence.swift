package import DNSProtocol
package import Delivery
import MailModel

extension AttemptEvidence {
    /// Adds what a lookup brought: who was asked, what each said, and the time it took as stage `resolve`.
    package mutating func note<Record>(_ resolution: Resolution<Record>, since began: ContinuousClock.Instant) {
        var lines = resolution.observations.map(\.description)
        if let age = resolution.staleAge, let last = lines.indices.last {
            lines[last] += " (stale, \(Self.words(for: age)) old)"
        }
        self.resolution += lines
        let milliseconds = (ContinuousClock.now - began).wholeMilliseconds
        if let index = self.timings.lastIndex(where: { $0.stage == .resolve }) {
            self.timings[index].milliseconds += milliseconds
        } else {
            self.timings.append(.init(stage: .resolve, milliseconds: milliseconds))
        }
    }

    /// `40 s`, `12 min`, `2 h`, `3 d`.
    private static func words(for age: Duration) -> String {
        let seconds = age.components.seconds
        return switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3600) h"
        default: "\(seconds / 86_400) d"
        }
    }
}
