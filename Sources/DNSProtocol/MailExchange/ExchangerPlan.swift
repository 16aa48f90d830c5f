/// Which hosts take the mail of a domain, as its MX records say (RFC 5321 §5.1).
package enum ExchangerPlan: Hashable, Sendable {
    /// In the order in which they are to be tried; never empty. One that is ourselves is the last.
    case hosts([String])
    /// `MX 0 .`: the domain takes no mail (RFC 7505).
    case nullMX
    case noSuchDomain
    case unavailable(Unavailability)

    /// Reads the answer to a domain's MX question.
    ///
    /// Hosts of one preference are shuffled, so that many clients share the load; those that are favoured, such as by an open
    /// connection, go before the others of their preference. Where we are among them, those of our preference and behind
    /// are left out: they are there to hand the mail to us, and would do so again. The domain itself is the exchanger only
    /// when the answer was that there are no MX records; an error never means that.
    package init(
        domain: String,
        answer: Lookup<MailExchanger>,
        favouring isFavoured: (_ host: String) -> Bool = { _ in false },
        endingAt isOurs: (_ host: String) -> Bool = { _ in false },
        using generator: inout some RandomNumberGenerator
    ) {
        switch answer {
        case .noData, .records([], timeToLive: _):
            self = .hosts([domain])
        case .noSuchName:
            self = .noSuchDomain
        case .unavailable(let unavailability):
            self = .unavailable(unavailability)
        case .records(let records, timeToLive: _):
            let named = records.filter { !$0.host.isEmpty && $0.host != "." }
            // RFC 7505 §3: a null MX beside others is a mistake of the zone; the others count.
            guard !named.isEmpty else {
                self = .nullMX
                return
            }
            let own = named.filter { isOurs($0.host) }.min { $0.preference < $1.preference }
            let nearer = own.map { own in named.filter { $0.preference < own.preference } } ?? named
            self = .hosts(Self.ordered(nearer, isFavoured, using: &generator) + [own?.host].compactMap(\.self))
        }
    }

    private static func ordered(
        _ records: [MailExchanger],
        _ isFavoured: (_ host: String) -> Bool,
        using generator: inout some RandomNumberGenerator
    ) -> [String] {
        var seen: Set<String> = []
        let shuffled = records.shuffled(using: &generator).map { (record: $0, rank: isFavoured($0.host) ? 0 : 1) }
        let sorted = shuffled.sorted { ($0.record.preference, $0.rank) < ($1.record.preference, $1.rank) }
        return sorted.map(\.record.host).filter { seen.insert($0.lowercased()).inserted }
    }
}
