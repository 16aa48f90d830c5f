import MailModel

/// Chooses for each recipient the first provider of the chain that may be used now, and gathers those that go together.
struct Assignment {
    /// One provider with the recipients that it is to be given in one attempt.
    struct Group {
        var provider: any Provider
        var destination: String?
        var position: Int
        var probes: [BreakerKey]
        var skippedOpenBreaker: Bool
        var recipients: [Recipient]
    }

    private struct Choice: Hashable {
        var position: Int
        var destination: String?
    }

    let chain: StrategyChain
    let providers: [any Provider]
    let reversePath: ReversePath
    let now: Timestamp
    private(set) var groups: [Group] = []
    private(set) var unassigned: [Recipient] = []
    /// When the first breaker that stood in the way lets something through, or another way may be asked; nil when none did.
    private(set) var earliest: Timestamp?
    private var permits: [Choice: BreakerBoard.Permit] = [:]

    init(chain: StrategyChain, providers: [any Provider], reversePath: ReversePath, now: Timestamp) {
        self.chain = chain
        self.providers = providers
        self.reversePath = reversePath
        self.now = now
    }

    /// Places one recipient; `position` is where in the chain the search begins.
    mutating func place(_ recipient: Recipient, from position: Int, board: inout BreakerBoard) {
        var skipped = false
        for candidate in self.candidates(for: recipient, from: position) {
            let provider = self.providers[candidate]
            let destination = provider.grouping == .byDomain ? recipient.mailbox.domain.key : nil
            let choice = Choice(position: candidate, destination: destination)
            let permit =
                self.permits[choice]
                ?? board.permit(provider.name, from: self.reversePath.breakerDomain, to: destination, at: self.now)
            self.permits[choice] = permit
            switch permit {
            case .allowed:
                self.add(recipient, choice, probes: [], skipped: skipped)
                return
            case .probe(let keys):
                self.add(recipient, choice, probes: keys, skipped: skipped)
                return
            case .refused(let until):
                skipped = true
                let moment = min(until, self.endOfPatience(for: recipient) ?? until)
                self.earliest = min(self.earliest ?? moment, moment)
            }
        }
        self.unassigned.append(recipient)
    }

    /// Positions to be tried in order.
    ///
    /// Who may already have the message is asked first, and alone until patience ends.
    private func candidates(for recipient: Recipient, from position: Int) -> [Int] {
        let rest = self.providers.indices.dropFirst(position).filter { !self.passesReport(at: $0) }
        guard position == 0, let name = recipient.progress.ambiguousAt,
            let first = self.providers.firstIndex(where: { $0.name == name })
        else {
            return rest
        }
        let others = rest.filter { $0 != first }
        return self.endOfPatience(for: recipient) == nil ? [first] + others : [first]
    }

    /// Until when nobody else is asked than the provider that may already have the message; nil when others may be, too.
    private func endOfPatience(for recipient: Recipient) -> Timestamp? {
        guard recipient.progress.ambiguousAt != nil, let since = recipient.progress.deferredSince else {
            return nil
        }
        let end = since + self.chain.fallbackAfter
        return end > self.now ? end : nil
    }

    /// Whether a report passes this provider by, since one behind it carries its null reverse-path.
    private func passesReport(at position: Int) -> Bool {
        self.reversePath == .null && !self.providers[position].carriesNullReversePath
            && self.providers[position...].contains(where: \.carriesNullReversePath)
    }

    private mutating func add(_ recipient: Recipient, _ choice: Choice, probes: [BreakerKey], skipped: Bool) {
        let existing = self.groups.firstIndex {
            $0.position == choice.position && $0.destination == choice.destination && $0.skippedOpenBreaker == skipped
        }
        if let existing {
            self.groups[existing].recipients.append(recipient)
            return
        }
        let group = Group(
            provider: self.providers[choice.position],
            destination: choice.destination,
            position: choice.position,
            probes: probes,
            skippedOpenBreaker: skipped,
            recipients: [recipient]
        )
        self.groups.append(group)
    }
}
