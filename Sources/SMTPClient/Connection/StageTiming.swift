import NIOCore
package import SMTPProtocol

/// How long a stage took.
package struct StageTiming: Hashable, Sendable {
    package var stage: ClientStage
    package var duration: Duration
}

extension [StageTiming] {
    mutating func add(_ amount: TimeAmount, at stage: ClientStage) {
        if let last = self.indices.last, self[last].stage == stage {
            self[last].duration += .nanoseconds(amount.nanoseconds)
        } else {
            self.append(StageTiming(stage: stage, duration: .nanoseconds(amount.nanoseconds)))
        }
    }
}
