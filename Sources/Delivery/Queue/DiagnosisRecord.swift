package import MailModel

/// What the gateway found out by itself while names could not be looked up as they should.
package struct DiagnosisRecord: Hashable, Sendable {
    /// From here on it may have troubled attempts: the last moment at which all was well.
    package var beganAt: Timestamp
    /// When all was well again; nil while it is not.
    package var endedAt: Timestamp?
    /// One sentence for people.
    package var verdict: String
    /// All that was checked, as JSON.
    package var report: String

    package init(beganAt: Timestamp, endedAt: Timestamp? = nil, verdict: String, report: String) {
        self.beganAt = beganAt
        self.endedAt = endedAt
        self.verdict = verdict
        self.report = report
    }

    /// Whether an attempt that asked the DNS ran while this was so.
    package func covers(_ attempt: AttemptRecord) -> Bool {
        !attempt.evidence.resolution.isEmpty && (attempt.finishedAt ?? attempt.startedAt) >= self.beganAt
            && self.endedAt.map { attempt.startedAt <= $0 } ?? true
    }
}
