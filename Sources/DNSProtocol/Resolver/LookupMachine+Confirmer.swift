/// The validator that is asked beside a source that does not validate, so that its word costs no time.
///
/// It is one at a time. What it says counts as if its turn had come; while it says nothing, the answer of another source
/// waits for it within a bound, and is corrected if need be.
extension LookupMachine {
    /// Asks a validator beside the source at this index, unless that is one, or one speaks already.
    mutating func askBeside(_ index: Int) -> [Action] {
        guard !self.sources[index].isValidator, !self.isValidatorHeard,
            let confirmer = self.sources.indices.first(where: { self.mayConfirm($0) })
        else {
            return []
        }
        self.progress[confirmer] = .asked
        self.confirmer = confirmer
        self.isConfirmersTurn = false
        return [.ask(confirmer)]
    }

    /// The validator failed, and says nothing of the name by that: another one may.
    mutating func replaceConfirmer() -> [Action] {
        self.lastAsked.map { self.askBeside($0) } ?? []
    }

    /// Whether the source was asked beside another one, and its turn has not come since.
    func isBeside(_ index: Int) -> Bool {
        self.confirmer == index && !self.isConfirmersTurn
    }

    /// Gives the validator its head start if it is the next in order, since it has been asked already; nil if it is not.
    mutating func takeConfirmersTurn(before next: Int?) -> [Action]? {
        guard let confirmer = self.confirmer, self.isBeside(confirmer), self.progress[confirmer].isAsked,
            next.map({ confirmer < $0 }) ?? true
        else {
            return nil
        }
        self.isConfirmersTurn = true
        self.lastAsked = confirmer
        return next == nil ? [] : [.armHeadStart(confirmer)]
    }

    /// Lets the validator speak for a while; then the answer is given without its word.
    mutating func awaitConfirmer(of candidate: Int) -> [Action] {
        guard let confirmer = self.confirmer, self.progress[confirmer].isAsked else {
            return self.finish(.answer(candidate))
        }
        switch self.patience {
        case .unneeded:
            self.patience = .running
            return [.armPatience]
        case .over:
            self.patience = .given
            return [.give(candidate)]
        case .running, .given:
            return []
        }
    }

    /// The validator has been waited for long enough.
    package mutating func patienceElapsed() -> [Action] {
        guard !self.isFinished, case .running = self.patience else {
            return []
        }
        self.patience = .over
        return (self.positive ?? self.mildestNegative).map { self.settle($0) } ?? []
    }

    private func mayConfirm(_ index: Int) -> Bool {
        self.progress[index].isWaiting && self.sources[index].confirms && self.sources[index].isValidator
    }

    /// A validator is asked, has an answer, or has said that there can be none.
    private var isValidatorHeard: Bool {
        self.sources.indices.contains { self.sources[$0].isValidator && self.progress[$0].hasSpoken }
    }
}
