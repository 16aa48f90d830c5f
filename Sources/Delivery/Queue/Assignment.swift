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
        /// Whether providers before this one have not been asked, since this one may already have the message.
        var isEarly: Bool
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

    /// Places one recipient; `round` says where in the chain the search begins.
    ///
    /// A way that is open and hardly takes anything is passed by for the next one, and taken if there is none.
    mutating func place(
        _ recipient: Recipient,
        in round: Work.Round,
        board: inout BreakerBoard,
        lanes: ReadyQueue<Work>
    ) {
        var skipped = false
        var slow: (choice: Choice, skipped: Bool, isEarly: Bool)?
        let inOrder = self.remaining(in: round)
        let candidates = self.candidates(for: recipient, inOrder)
        for candidate in candidates {
            let provider = self.providers[candidate]
            let destination = provider.grouping == .byDomain ? recipient.mailbox.domain.key : nil
            let choice = Choice(position: candidate, destination: destination)
            let permit =
                self.permits[choice]
                ?? board.permit(provider.name, from: self.reversePath.breakerDomain, to: destination, at: self.now)
            self.permits[choice] = permit
            let isEarly = candidate == candidates.first && candidate != inOrder.first
            switch permit {
            case .allowed where self.isStuck(choice, lanes):
                slow = slow ?? (choice, skipped, isEarly)
                skipped = true
            case .allowed:
                self.add(recipient, choice, probes: [], skipped: skipped, isEarly: isEarly)
                return
            case .probe(let keys):
                self.add(recipient, choice, probes: keys, skipped: skipped, isEarly: isEarly)
                return
            case .refused(let until):
                skipped = true
                let moment = min(until, self.endOfPatience(for: recipient) ?? until)
                self.earliest = min(self.earliest ?? moment, moment)
            }
        }
        guard let slow else {
            self.unassigned.append(recipient)
            return
        }
        self.add(recipient, slow.choice, probes: [], skipped: slow.skipped, isEarly: slow.isEarly)
    }

    private func isStuck(_ choice: Choice, _ lanes: ReadyQueue<Work>) -> Bool {
        let name = self.providers[choice.position].name
        return lanes.isStuck(.init(provider: name, destination: choice.destination), patience: self.chain.fallbackAfter)
    }

    /// Positions to be tried in order.
    ///
    /// Who may already have the message is asked first, and alone until patience ends.
    private func candidates(for recipient: Recipient, _ inOrder: [Int]) -> [Int] {
        // Where this round has asked it already, the others are left.
        guard let name = recipient.progress.ambiguousAt,
            let first = inOrder.first(where: { self.providers[$0].name == name })
        else {
            return inOrder
        }
        let others = inOrder.filter { $0 != first }
        return self.endOfPatience(for: recipient) == nil ? [first] + others : [first]
    }

    /// Positions that a round has not come to yet.
    private func remaining(in round: Work.Round) -> [Int] {
        self.providers.indices.dropFirst(round.nextPosition)
            .filter { $0 != round.askedEarly && !self.passesReport(at: $0) }
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

    private mutating func add(
        _ recipient: Recipient,
        _ choice: Choice,
        probes: [BreakerKey],
        skipped: Bool,
        isEarly: Bool
    ) {
        let existing = self.groups.firstIndex {
            $0.position == choice.position && $0.destination == choice.destination && $0.skippedOpenBreaker == skipped
                && $0.isEarly == isEarly
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
            isEarly: isEarly,
            recipients: [recipient]
        )
        self.groups.append(group)
    }
}
