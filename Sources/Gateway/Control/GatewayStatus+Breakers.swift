package import Delivery
import MailModel

extension GatewayStatus {
    /// Breakers for one destination or one sender that are listed; an outage can open one for each domain there is.
    private static let breakerLimit = 50
    /// Characters of a breaker's text, which a peer may have written.
    private static let textLimit = 200

    /// Those of whole providers, then the first of the others by name, and how many more each provider has.
    package static func summary(
        of breakers: [BreakerKey: BreakerState]
    ) -> (listed: [Breaker], others: [String: Int]?) {
        let sorted = breakers.map { (key: $0.key, name: $0.key.description, state: $0.value) }
            .sorted { ($0.key.part == .whole ? 0 : 1, $0.name) < ($1.key.part == .whole ? 0 : 1, $1.name) }
        let count = sorted.prefix { $0.key.part == .whole }.count + self.breakerLimit
        let listed = sorted.prefix(count).map { key, name, state in
            Breaker(
                name: name,
                provider: key.provider,
                until: state.openUntil.map(\.description) ?? "something changes",
                why: String(state.text.prefix(self.textLimit))
            )
        }
        let others = Dictionary(sorted.dropFirst(count).map { ($0.key.provider, 1) }, uniquingKeysWith: +)
        return (listed.sorted { $0.name < $1.name }, others.isEmpty ? nil : others)
    }

    /// The ways that are not listed, a line each provider.
    var otherLines: [(provider: String, text: String)] {
        (self.otherBreakers ?? [:]).sorted { $0.key < $1.key }.map { provider, count in
            (provider, "\(count) more \(count == 1 ? "way" : "ways"), each for one destination or sender")
        }
    }
}
