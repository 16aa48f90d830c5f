import DNSProtocol

/// Questions to which some source had an answer lately.
struct AnsweredQuestions {
    /// As long as the slowest source may still be expected to answer the same question.
    private static let memory = Duration.seconds(10)
    private static let capacity = 1_024

    private var times: [Question: ContinuousClock.Instant] = [:]
    /// The last two, so that there is one beside any question.
    private var latest: [Question] = []

    mutating func add(_ question: Question, at now: ContinuousClock.Instant) {
        if self.times.count >= Self.capacity, self.times[question] == nil {
            self.times = self.times.filter { now - $0.value < Self.memory }
        }
        if self.times.count < Self.capacity || self.times[question] != nil {
            self.times[question] = now
        }
        if self.latest.last != question {
            self.latest = self.latest.suffix(1) + [question]
        }
    }

    func holds(_ question: Question, at now: ContinuousClock.Instant) -> Bool {
        self.times[question].map { now - $0 < Self.memory } ?? false
    }

    func latest(otherThan question: Question) -> Question? {
        self.latest.last { $0 != question }
    }
}
