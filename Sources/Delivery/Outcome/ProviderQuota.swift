/// What a provider says may still be sent through it.
package enum ProviderQuota: Hashable, Sendable {
    case allowance(Allowance)
    case unlimited
    /// There is a call for it, which did not tell; why, for people.
    case untold(String)

    /// A number of messages for a time.
    package struct Allowance: Hashable, Sendable {
        /// Never less than zero.
        package var remaining: Int
        package var limit: Int
        /// Messages sent beyond the limit, which then cost extra and are no reason to stop.
        package var overage: Int
        /// For how long, for people: `monthly, until 2026-12-01`.
        package var period: String

        package init(remaining: Int, limit: Int, overage: Int = 0, period: String) {
            self.remaining = max(0, remaining)
            self.limit = limit
            self.overage = max(0, overage)
            self.period = period
        }

        /// Whether nothing more can be sent.
        package var isSpent: Bool { self.remaining == 0 && self.overage == 0 }

        /// Whether less than a tenth is left.
        package var isLow: Bool { self.remaining < self.limit / 10 || self.remaining == 0 }
    }
}
