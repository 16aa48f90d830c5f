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
        let diagnosis = self.diagnosis.map { ["doctor     \(printable($0))"] } ?? []
        let closed = self.breakers.map { "closed     \($0.name) \($0.term)" }
        let others = self.otherLines.map { "closed     \($0.provider): \($0.text)" }
        return (lines + diagnosis + closed + others).joined(separator: "\n")
    }

    /// The DNS sources in the order in which they are asked now.
    package var sourceTable: String {
        var table = TextTable()
        table.add("SOURCE", "STATE", "DNSSEC", "NOTES")
        for source in self.dnsSources {
            table.add(source.name, source.state, source.validation, source.notes)
        }
        return table.text
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
            for other in self.otherLines where other.provider == provider {
                table.add(provider, "left alone: \(other.text)")
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
                leftAlone: self.breakers.filter { $0.provider == provider },
                notListed: self.otherBreakers?[provider] ?? 0
            )
        }
    }

    /// A provider as `--json` prints it; the shape is a promise to scripts.
    package struct ProviderJSON: Encodable, Sendable {
        let name: String
        let isInUse: Bool
        let leftAlone: [Breaker]
        /// How many more are left alone.
        let notListed: Int
    }
}

extension GatewayStatus.Breaker {
    /// `until 2026-11-24T10:17:03Z: quota spent`, safe for a terminal.
    package var term: String {
        "until \(self.until): \(printable(self.why))"
    }
}

extension GatewayStatus.Source {
    fileprivate var state: String {
        guard !self.isHealthy else {
            return "good"
        }
        let term = self.failingSeconds.map { " for \(humanDuration(.seconds($0)))" } ?? ""
        return "failing\(term), asked last: \(printable(self.failure ?? "?"))"
    }

    /// Whether it validates, and whether that counts.
    fileprivate var validation: String {
        switch (self.validates ?? false, self.isTrusted ?? false) {
        case (true, true): "validates, trusted"
        case (true, false): "validates, not trusted"
        case (false, true): "trusted"
        case (false, false): "-"
        }
    }

    fileprivate var notes: String {
        let lies = self.contradictions ?? 0
        let notes = [
            lies > 0 ? "denied \(lies == 1 ? "once" : "\(lies) times") what others have" : nil,
            self.usesEDNS == false ? "without EDNS" : nil, self.isPublic == true ? "public" : nil,
        ].compactMap { $0 }
        return notes.isEmpty ? "-" : notes.joined(separator: ", ")
    }
}
