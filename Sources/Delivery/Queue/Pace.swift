/// How much of its mail a destination is given at a time and how fast: more while it goes well, less on trouble.
///
/// The window grows as TCP's does: by one with each success until the first trouble, then by one a round; trouble halves
/// it. A next hop that says we are too fast is given time between the beginnings of attempts as well.
package struct Pace: Hashable, Sendable {
    /// Where a pace begins and how far it may go.
    package struct Policy: Hashable, Sendable {
        /// Attempts at a time for a destination of which nothing is known.
        package var start: Int
        /// Attempts at a time for one destination, however well it goes.
        package var maximum: Int
        /// The first time between two attempts after a next hop found us too fast; doubled each time it says so again.
        package var firstInterval: Duration
        package var longestInterval: Duration

        package init(
            start: Int = 5,
            maximum: Int = 20,
            firstInterval: Duration = .milliseconds(500),
            longestInterval: Duration = .seconds(30)
        ) {
            self.maximum = max(1, maximum)
            self.start = min(max(1, start), self.maximum)
            self.firstInterval = firstInterval
            self.longestInterval = longestInterval
        }
    }

    /// What an attempt says of the pace.
    package enum Word: Hashable, Sendable {
        case good
        /// It could not be reached, broke off or kept silent.
        case trouble
        /// It is there, and has had enough of us for now.
        case tooFast
        /// Nothing: the trouble was the recipient's, the message's or ours.
        case nothing
    }

    /// Attempts that may run at a time; a fraction is progress towards the next whole one.
    package private(set) var window: Double
    /// From the beginning of one attempt to the next; zero: none.
    package private(set) var interval: Duration = .zero
    /// Whether the last word was a good one.
    package private(set) var isProven: Bool
    /// What an attempt takes, as a moving average.
    package private(set) var duration: Duration = .milliseconds(100)
    /// How often the window was cut: attempts that began before the last cut do not cut it again.
    package private(set) var cuts = 0
    private let isTrusted: Bool
    private var threshold: Double

    /// Begins low for a stranger, and at the maximum for a way that the operator has set up himself.
    package init(_ policy: Policy, isTrusted: Bool) {
        self.window = Double(isTrusted ? policy.maximum : policy.start)
        self.isTrusted = isTrusted
        self.isProven = isTrusted
        self.threshold = Double(policy.maximum)
    }

    /// Attempts that may run at a time.
    package var limit: Int {
        max(1, Int(self.window))
    }

    /// Whether the destination has said that we are too fast, or the last word of a stranger was trouble.
    package var isSlowed: Bool {
        self.interval > .zero || !self.isTrusted && !self.isProven && self.cuts > 0
    }

    /// Takes the word of an attempt that began when `cuts` had the given value.
    package mutating func hear(_ word: Word, after took: Duration, begunAt cuts: Int, _ policy: Policy) {
        self.duration = (self.duration * 3 + took) / 4
        switch word {
        case .good: self.rise(policy)
        // A way that the operator has set up is left alone by its breaker, and takes what is asked again as before.
        case .trouble where self.isTrusted: self.isProven = false
        case .trouble: self.fall(begunAt: cuts)
        case .tooFast:
            let isNews = cuts == self.cuts
            self.fall(begunAt: cuts)
            if isNews {
                self.interval = min(max(self.interval * 2, policy.firstInterval), policy.longestInterval)
            }
        case .nothing: break
        }
    }

    private mutating func rise(_ policy: Policy) {
        self.isProven = true
        self.window = min(self.window + (self.window < self.threshold ? 1 : 1 / self.window), Double(policy.maximum))
        self.interval = self.interval > policy.firstInterval ? self.interval / 2 : .zero
    }

    private mutating func fall(begunAt cuts: Int) {
        self.isProven = false
        guard cuts == self.cuts else {
            return
        }
        self.cuts &+= 1
        self.window = max(1, (self.window / 2).rounded(.down))
        self.threshold = self.window
    }
}
