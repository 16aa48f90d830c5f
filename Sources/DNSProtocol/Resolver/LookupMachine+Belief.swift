extension LookupMachine {
    /// There is no second opinion that could still come, once two agree and whoever was asked has been heard out.
    mutating func weighNegatives() -> [Action] {
        if self.rule == .first, let first = self.negatives.first {
            return self.settle(first)
        }
        // Those that failed get no second chance over another transport once two agree.
        let isDecided = self.deniers(by: \.party) >= 2 && self.sources.indices.allSatisfy { self.hasBeenAsked($0) }
        let actions = isDecided ? [] : self.askOtherWitnesses()
        guard actions.isEmpty, !self.isAnyoneAsked else {
            return actions
        }
        guard self.isNegativeBelieved, let mildest = self.mildestNegative else {
            return self.finish(.unconfirmed)
        }
        let last = self.askEncrypted()
        return last.isEmpty ? self.settle(mildest) : last
    }

    /// Asks an encrypted source whose witness may have spoken in the clear, and the next one where that fails, until one has
    /// spoken; what none of them can answer changes nothing.
    private mutating func askEncrypted() -> [Action] {
        let encrypted = self.sources.indices.filter { self.sources[$0].isEncrypted }
        guard !encrypted.contains(where: { self.progress[$0].hasSpoken }),
            let index = encrypted.first(where: { self.progress[$0].isWaiting && !self.sources[$0].isDoubtful })
        else {
            return []
        }
        return self.ask(index)
    }

    private func hasBeenAsked(_ index: Int) -> Bool {
        self.sources.indices.contains {
            !self.progress[$0].isWaiting && self.sources[$0].witness == self.sources[index].witness
        }
    }

    /// An answer stands, unless somebody who validates has failed on it and nobody who does vouches for it.
    mutating func settle(_ candidate: Int) -> [Action] {
        if self.isVouched(candidate) {
            return self.finish(.answer(candidate))
        }
        if self.isValidatorAsked {
            // Whoever answers faster than a validator must not be able to switch DANE off (RFC 7672 §2.1).
            return []
        }
        if self.isCalledBogus {
            let actions = self.askOtherWitnesses()
            return actions.isEmpty && !self.isAnyoneAsked ? self.finish(.bogus) : actions
        }
        let unexplained = self.heard.filter { index in
            // Of one that never validated anything, it is just a failure; half of a broken forwarder's answers fail.
            self.checks[index] == nil && self.sources[index].isValidator
                && self.progress[index].failure?.isUnexplained == true
        }
        unexplained.forEach { self.checks[$0] = .running }
        if unexplained.isEmpty, !self.checks.values.contains(where: \.isRunning) {
            return self.awaitConfirmer(of: candidate)
        }
        return unexplained.map { .askUnchecked($0) }
    }

    /// The first answer with records, of those whom a validator vouches for if there is one.
    var positive: Int? {
        let positives = self.heard.filter { self.progress[$0].interpretation?.hasRecords == true }
        return positives.first(where: self.validated) ?? positives.first
    }

    var negatives: [Int] {
        self.heard.filter { self.progress[$0].interpretation?.isNegative == true }
    }

    /// "The name exists" is the milder word when two negative answers differ: it lets implicit MX be tried.
    var mildestNegative: Int? {
        self.negatives.first { self.progress[$0].interpretation?.isNoData == true } ?? self.negatives.first
    }

    /// How many different ones say that there is nothing.
    private func deniers(by kind: KeyPath<Source, String>) -> Int {
        Set(self.negatives.map { self.sources[$0][keyPath: kind] }).count
    }

    private func areEnough(by kind: KeyPath<Source, String>) -> Bool {
        self.deniers(by: kind) >= min(2, Set(self.sources.map { $0[keyPath: kind] }).count)
    }

    var isNegativeBelieved: Bool {
        switch self.rule {
        case .first: !self.negatives.isEmpty
        case .agreement: self.areEnough(by: \.witness) && self.areEnough(by: \.party)
        case .caution: self.deniers(by: \.party) >= 2
        }
    }

    func isVouched(_ candidate: Int) -> Bool {
        let isPositive = self.progress[candidate].interpretation?.hasRecords == true
        return isPositive ? self.validated(candidate) : self.negatives.contains(where: self.validated)
    }

    /// The source said that it validated its answer, or would have failed on one that does not validate.
    private func validated(_ index: Int) -> Bool {
        guard case .heard(_, let isAuthenticated) = self.progress[index] else {
            return false
        }
        return isAuthenticated || self.sources[index].validates
    }

    var isCalledBogus: Bool {
        self.heard.contains { self.progress[$0].failure?.isBogus == true }
            || self.checks.values.contains(where: \.foundBogus)
    }

    var isAnyoneAsked: Bool {
        self.progress.contains(where: \.isAsked)
    }

    /// A source that has validated answers before, and has not just failed, is still to be heard; one that was only asked
    /// beside another is not waited for so long.
    private var isValidatorAsked: Bool {
        self.sources.indices.contains {
            self.progress[$0].isAsked && self.sources[$0].validates && !self.sources[$0].isDoubtful
                && $0 != self.confirmer
        }
    }
}

extension LookupMachine.Progress {
    var isWaiting: Bool {
        if case .waiting = self { true } else { false }
    }

    var isAsked: Bool {
        if case .asked = self { true } else { false }
    }

    var interpretation: Interpretation? {
        if case .heard(let interpretation, _) = self { interpretation } else { nil }
    }

    var failure: SourceFailure? {
        self.interpretation?.failure
    }

    /// Asked and not failed: nobody needs to ask the same witness in another way.
    var hasSpoken: Bool {
        switch self {
        case .waiting: false
        case .asked: true
        case .heard(let interpretation, _): interpretation.isUsable || interpretation.failure?.isBogus == true
        }
    }
}

extension LookupMachine.Check {
    var isRunning: Bool {
        if case .running = self { true } else { false }
    }

    var foundBogus: Bool {
        if case .done(let isBogus) = self { isBogus } else { false }
    }
}
