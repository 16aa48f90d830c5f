/// One lookup along the source chain: who is asked next, and when the answer is known.
///
/// A source that has not answered within the head start is joined by the next one; one that failed is replaced at
/// once. The first answer with records wins. A negative answer is believed when a second source agrees, or when there
/// is only one: a broken forwarder that says NXDOMAIN to everything must not bounce anybody's mail.
package struct LookupMachine: Sendable {
    package enum Action: Hashable, Sendable {
        /// Ask the source at this index, and tell of its answer with `answered`.
        case ask(Int)
        /// Tell with `headStartElapsed` when the head start is over.
        case armHeadStart
        case finish(Verdict)
    }

    package enum Verdict: Hashable, Sendable {
        /// The answer of the source at this index stands.
        case answer(Int, Interpretation)
        /// Nobody could answer, or nobody confirmed a negative answer.
        case unavailable
    }

    private let sourceCount: Int
    private let confirmsNegative: Bool
    private var nextSource = 0
    private var pending = 0
    private var negatives: [(index: Int, interpretation: Interpretation)] = []
    private var isFinished = false

    /// Prepares a lookup.
    ///
    /// - Parameters:
    ///   - sourceCount: How many sources there are, in the order in which they are to be asked.
    ///   - confirmsNegative: Whether a lone negative answer needs a second one beside it.
    package init(sourceCount: Int, confirmsNegative: Bool) {
        self.sourceCount = sourceCount
        self.confirmsNegative = confirmsNegative && sourceCount > 1
    }

    package mutating func start() -> [Action] {
        guard self.sourceCount > 0 else {
            self.isFinished = true
            return [.finish(.unavailable)]
        }
        return self.askNext()
    }

    /// A source has answered, or failed to.
    package mutating func answered(_ index: Int, _ interpretation: Interpretation) -> [Action] {
        guard !self.isFinished else {
            return []
        }
        self.pending -= 1
        switch interpretation {
        case .records:
            return self.finish(.answer(index, interpretation))
        case .noData, .noSuchName:
            return self.receiveNegative(index, interpretation)
        case .alias, .failed, .rejectsEDNS, .truncated, .otherCase:
            return self.goOn()
        }
    }

    package mutating func headStartElapsed() -> [Action] {
        self.isFinished ? [] : self.askNext()
    }

    /// The time for the whole lookup is over.
    package mutating func deadlineReached() -> [Action] {
        self.isFinished ? [] : self.finish(.unavailable)
    }

    private mutating func receiveNegative(_ index: Int, _ interpretation: Interpretation) -> [Action] {
        guard self.confirmsNegative else {
            return self.finish(.answer(index, interpretation))
        }
        self.negatives.append((index, interpretation))
        guard self.negatives.count >= 2 else {
            return self.goOn()
        }
        // "The name exists" is the milder word when two negative answers differ: it lets implicit MX be tried.
        let mild = self.negatives.first { $0.interpretation.isNoData } ?? self.negatives[0]
        return self.finish(.answer(mild.index, mild.interpretation))
    }

    private mutating func goOn() -> [Action] {
        if self.nextSource < self.sourceCount {
            return self.askNext()
        }
        return self.pending == 0 ? self.finish(.unavailable) : []
    }

    private mutating func askNext() -> [Action] {
        guard self.nextSource < self.sourceCount else {
            return []
        }
        let index = self.nextSource
        self.nextSource += 1
        self.pending += 1
        return self.nextSource < self.sourceCount ? [.ask(index), .armHeadStart] : [.ask(index)]
    }

    private mutating func finish(_ verdict: Verdict) -> [Action] {
        self.isFinished = true
        return [.finish(verdict)]
    }
}
