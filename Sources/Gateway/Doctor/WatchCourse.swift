import MailModel

/// When to look and when all is well again; pure.
struct WatchCourse {
    enum Action: Hashable {
        case nothing
        /// Look what is wrong; it began at this moment at the earliest.
        case examine(beganAt: Timestamp)
        /// All is well since this moment.
        case recovered(endedAt: Timestamp)
    }

    /// How long all must be well: a source that is not asked fails no more, which proves nothing.
    static let calm = Duration.seconds(60)

    /// When to look again after nothing was found.
    static let secondLook = Duration.seconds(30)

    /// Since when each source fails.
    private(set) var failingSince: [String: Timestamp] = [:]
    private var examined: Set<String> = []
    private var lastObservation: Timestamp
    private var goodSince: Timestamp?
    private var lookAgainAt: Timestamp?

    init(startedAt: Timestamp) {
        self.lastObservation = startedAt
    }

    /// Takes in which sources fail now.
    mutating func observe(_ failing: Set<String>, at now: Timestamp) -> Action {
        defer { self.lastObservation = now }
        if failing.isEmpty {
            return self.observeCalm(at: now)
        }
        self.goodSince = nil
        for source in failing where self.failingSince[source] == nil {
            self.failingSince[source] = self.lastObservation
        }
        // What failed on and off is the same trouble still.
        let new = failing.subtracting(self.examined)
        let isSecondLook = self.lookAgainAt.map { $0 <= now } ?? false
        guard !new.isEmpty || isSecondLook else {
            return .nothing
        }
        self.lookAgainAt = nil
        self.examined.formUnion(new)
        let since = failing.compactMap { self.failingSince[$0] }.max()
        return .examine(beganAt: isSecondLook ? since ?? now : self.lastObservation)
    }

    /// What failed when it was looked at failed no more.
    mutating func foundNothing(at now: Timestamp) {
        self.lookAgainAt = now + Self.secondLook
    }

    private mutating func observeCalm(at now: Timestamp) -> Action {
        guard !self.examined.isEmpty else {
            return .nothing
        }
        let since = self.goodSince ?? now
        self.goodSince = since
        guard now - since >= Self.calm else {
            return .nothing
        }
        self.examined = []
        self.lookAgainAt = nil
        self.failingSince = [:]
        self.goodSince = nil
        return .recovered(endedAt: since)
    }
}
