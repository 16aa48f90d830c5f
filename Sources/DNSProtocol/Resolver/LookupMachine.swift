/// One lookup along the source chain: who is asked next, and when the answer is known.
///
/// A source that has not answered within the head start is joined by the next one; one that failed is replaced at
/// once. The first answer with records wins, however many deny it: a mail that can be delivered is never bounced.
/// "There is no such thing" is believed when two witnesses that are independent of each other agree and nobody who can
/// answer contradicts, or when there is one witness only. That is so of a name that does not exist as of a record that
/// does not, such as an MX, for want of which mail would go to the domain's own host. Where all of it came in the clear, an
/// encrypted source is asked first, one after the other until one answers, since a network that diverts plain DNS answers
/// in everybody's name. An answer that nobody validated does not stand while a validator calls it bogus.
package struct LookupMachine: Sendable {
    package enum Action: Hashable, Sendable {
        /// Ask the source at this index, and tell of its answer with `answered`.
        case ask(Int)
        /// Tell with `headStartElapsed` when the head start of this source is over.
        case armHeadStart(Int)
        /// Ask the source again, for what does not validate, too, and tell with `checked` whether it has an answer then.
        case askUnchecked(Int)
        /// Tell with `patienceElapsed` when the validator that was asked beside has been waited for long enough.
        case armPatience
        /// Whoever waits may have the answer of this source; the lookup goes on, and its verdict corrects it.
        case give(Int)
        case finish(Verdict)
    }

    package enum Verdict: Hashable, Sendable {
        /// The answer of the source at this index stands.
        case answer(Int)
        /// Nobody could answer.
        case unavailable
        /// A negative answer, which no second witness confirmed.
        case unconfirmed
        /// There is an answer, but who validates says that it is none.
        case bogus
    }

    /// What is known of a source before it is asked.
    package struct Source: Hashable, Sendable {
        /// Whose word it is; sources with the same one count once.
        package var witness: String
        /// Who stands behind it: witnesses of one party, such as the servers of one resolv.conf, may all have asked the same
        /// server, so that no two of them are independent.
        package var party: String
        /// It has validated answers before, so that an answer without the AD bit is one from an unsigned zone.
        package var validates: Bool
        /// It has just failed, so that a failure says nothing new.
        package var isDoubtful: Bool
        /// It may be asked beside one that does not validate, for its word on whether an answer is bogus.
        package var confirms: Bool
        /// Nobody on the way can put words into its mouth.
        package var isEncrypted: Bool

        /// Makes a source; without a party it stands for itself.
        package init(
            witness: String,
            party: String? = nil,
            validates: Bool = false,
            isDoubtful: Bool = false,
            confirms: Bool = false,
            isEncrypted: Bool = false
        ) {
            self.witness = witness
            self.party = party ?? witness
            self.validates = validates
            self.isDoubtful = isDoubtful
            self.confirms = confirms
            self.isEncrypted = isEncrypted
        }

        /// Its failures may mean that validation failed; what has just failed says nothing new.
        var isValidator: Bool { (self.validates || self.confirms) && !self.isDoubtful }
    }

    /// When a negative answer is believed.
    package enum NegativeRule: Hashable, Sendable {
        /// The first one, which is good enough where nothing is bounced for it.
        case first
        /// Two witnesses, of two parties where there are two, or the only one.
        case agreement
        /// Two witnesses of two parties, even where there is only one: then never.
        case caution
    }

    enum Progress {
        case waiting
        case asked
        case heard(Interpretation, isAuthenticated: Bool)
    }

    enum Check {
        case running
        case done(isBogus: Bool)
    }

    /// How long an answer waits for a validator that was asked beside.
    enum Patience {
        case unneeded
        case running
        case over
        /// The answer was given without the validator's word.
        case given
    }

    let sources: [Source]
    let rule: NegativeRule
    var progress: [Progress]
    var checks: [Int: Check] = [:]
    /// Those that were heard, in the order in which their answers came.
    var heard: [Int] = []
    var lastAsked: Int?
    /// The validator that was asked before its turn.
    var confirmer: Int?
    var isConfirmersTurn = false
    var patience = Patience.unneeded
    var isFinished = false

    /// Prepares a lookup; sources in the order in which they are to be asked.
    package init(sources: [Source], rule: NegativeRule) {
        self.sources = sources
        self.rule = rule
        self.progress = sources.map { _ in .waiting }
    }

    package mutating func start() -> [Action] {
        self.sources.isEmpty ? self.finish(.unavailable) : self.askNext()
    }

    /// A source has answered, or failed to.
    package mutating func answered(
        _ index: Int,
        _ interpretation: Interpretation,
        isAuthenticated: Bool = false
    ) -> [Action] {
        guard !self.isFinished, self.progress.indices.contains(index), case .asked = self.progress[index] else {
            return []
        }
        self.progress[index] = .heard(interpretation, isAuthenticated: isAuthenticated)
        self.heard.append(index)
        if let candidate = self.positive {
            return self.settle(candidate)
        }
        guard self.negatives.isEmpty else {
            return self.weighNegatives()
        }
        return self.isBeside(index) && self.isAnyoneAsked ? self.replaceConfirmer() : self.goOn()
    }

    package mutating func headStartElapsed(_ index: Int) -> [Action] {
        self.isFinished || self.lastAsked != index ? [] : self.askNext()
    }

    /// A source that had failed without a reason was asked for unvalidated data: with an answer, that was the reason.
    package mutating func checked(_ index: Int, isBogus: Bool) -> [Action] {
        guard !self.isFinished, case .running? = self.checks[index] else {
            return []
        }
        self.checks[index] = .done(isBogus: isBogus)
        return (self.positive ?? self.mildestNegative).map { self.settle($0) } ?? []
    }

    /// The time for the whole lookup is over: what is there must do.
    package mutating func deadlineReached() -> [Action] {
        guard !self.isFinished else {
            return []
        }
        let candidate = self.positive ?? (self.isNegativeBelieved ? self.mildestNegative : nil)
        if let candidate {
            return self.finish(self.isCalledBogus && !self.isVouched(candidate) ? .bogus : .answer(candidate))
        }
        return self.finish(self.negatives.isEmpty ? .unavailable : .unconfirmed)
    }
}

// MARK: - Who is asked next

extension LookupMachine {
    mutating func askNext() -> [Action] {
        let next = self.progress.firstIndex(where: \.isWaiting)
        if let actions = self.takeConfirmersTurn(before: next) {
            return actions
        }
        guard let index = next else {
            return []
        }
        let actions = self.ask(index) + self.askBeside(index)
        return actions + (self.progress.contains(where: \.isWaiting) ? [.armHeadStart(index)] : [])
    }

    mutating func ask(_ index: Int) -> [Action] {
        self.progress[index] = .asked
        self.lastAsked = index
        return [.ask(index)]
    }

    mutating func goOn() -> [Action] {
        let next = self.askNext()
        return next.isEmpty && !self.isAnyoneAsked ? self.finish(.unavailable) : next
    }

    /// Asks one source of each witness that has not spoken yet, all at once; another one where that failed.
    mutating func askOtherWitnesses() -> [Action] {
        var taken = Set(self.sources.indices.filter { self.progress[$0].hasSpoken }.map { self.sources[$0].witness })
        var actions: [Action] = []
        for index in self.sources.indices where self.progress[index].isWaiting {
            if taken.insert(self.sources[index].witness).inserted {
                actions += self.ask(index)
            }
        }
        return actions
    }

    mutating func finish(_ verdict: Verdict) -> [Action] {
        self.isFinished = true
        return [.finish(verdict)]
    }
}
