import Delivery

/// The running gateway for people.
extension GatewayStatus {
    /// Several lines without a final line end.
    package var text: String {
        let sources = self.dnsSources.map { $0.name + ($0.isHealthy ? "" : " (failing)") }
        let lines = [
            "hikyaku \(self.version) on \(self.hostname)", "listening  \(self.listeners.joined(separator: ", "))",
            "chain      \(self.chain.joined(separator: ", "))",
            "attempts   \(self.running) running, \(self.waiting) waiting in memory",
            "dns        \(sources.joined(separator: ", "))",
        ]
        return (lines + self.breakers.map { "closed     \($0.name) \($0.term)" }).joined(separator: "\n")
    }

    /// The chain in its order, one line for each way that is left alone, or one that says that it is in use.
    package var providerTable: String {
        var table = TextTable()
        table.add("PROVIDER", "STATE")
        for provider in self.chain {
            let left = self.breakers.filter { $0.provider == provider }
            if !left.contains(where: { $0.name == provider }) {
                table.add(provider, "in use")
            }
            for breaker in left {
                table.add(breaker.name, "left alone \(breaker.term)")
            }
        }
        return table.text
    }

    /// The same for `--json`.
    package var providers: [ProviderJSON] {
        self.chain.map { provider in
            ProviderJSON(
                name: provider,
                isInUse: !self.breakers.contains { $0.name == provider },
                leftAlone: self.breakers.filter { $0.provider == provider }
            )
        }
    }

    /// A provider as `--json` prints it; the shape is a promise to scripts.
    package struct ProviderJSON: Encodable, Sendable {
        let name: String
        let isInUse: Bool
        let leftAlone: [Breaker]
    }
}

extension GatewayStatus.Breaker {
    fileprivate var term: String {
        "until \(self.until): \(printable(self.why))"
    }
}
