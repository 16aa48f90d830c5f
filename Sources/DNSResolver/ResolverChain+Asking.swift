import DNSProtocol
import MailModel

extension ResolverChain {
    private enum Event: Sendable {
        case answer(Int, SourceAnswer)
        case headStartElapsed
        case deadline
    }

    /// Drives the lookup machine with real sources.
    ///
    /// A source that another one outran is not cut short: it is heard out for its health's sake, so that the next lookup
    /// does not wait for a silent one again, for as long as a single source may take and no longer.
    func ask(_ question: Question, confirmsNegative: Bool) async -> Finding {
        let sources = self.health.ordered(self.sources(for: question))
        let confirms = confirmsNegative && !self.configuration.believesLoneNegative
        var machine = LookupMachine(sourceCount: sources.count, confirmsNegative: confirms)
        var story: [Int: SourceObservation] = [:]
        var answers: [Int: KnownAnswer] = [:]
        var pending: [Int: ContinuousClock.Instant] = [:]
        let (events, sink) = AsyncStream.makeStream(of: Event.self)
        var timers = [Self.after(self.configuration.lookupTimeout, .deadline, to: sink)]
        defer { timers.forEach { $0.cancel() } }
        var verdict = self.obey(machine.start(), question, sources, &pending, &timers, sink)
        var arrivals = events.makeAsyncIterator()
        while verdict == nil, let event = await arrivals.next() {
            let actions: [LookupMachine.Action]
            switch event {
            case .answer(let index, let answer):
                pending[index] = nil
                answers[index] = KnownAnswer(answer, from: sources[index], self.configuration)
                story[index] = .told(question, by: sources[index], answer)
                actions = machine.answered(index, answer.interpretation)
            case .headStartElapsed:
                actions = machine.headStartElapsed()
            case .deadline:
                actions = machine.deadlineReached()
            }
            verdict = self.obey(actions, question, sources, &pending, &timers, sink)
        }
        for (index, askedAt) in pending {
            story[index] = .silent(question, sources[index], for: .now - askedAt)
        }
        let observations = self.emptySystem(question) + story.sorted { $0.key < $1.key }.map(\.value)
        return Finding(answer: verdict?.index.flatMap { answers[$0] }, observations: observations)
    }

    /// Does what the machine wants; gives the verdict once there is one.
    private func obey(
        _ actions: [LookupMachine.Action],
        _ question: Question,
        _ sources: [DNSSource],
        _ pending: inout [Int: ContinuousClock.Instant],
        _ timers: inout [Task<Void, Never>],
        _ sink: AsyncStream<Event>.Continuation
    ) -> LookupMachine.Verdict? {
        for action in actions {
            switch action {
            case .ask(let index):
                let source = sources[index]
                pending[index] = .now
                Task {
                    let answer = await self.ask(question, of: source)
                    self.health.record(answer, of: source)
                    if answer.interpretation.hasRecords {
                        answer.parts.forEach { self.remember($0.question, $0.bytes, from: source) }
                    }
                    sink.yield(.answer(index, answer))
                }
            case .armHeadStart:
                timers.append(Self.after(self.configuration.headStart, .headStartElapsed, to: sink))
            case .finish(let verdict):
                return verdict
            }
        }
        return nil
    }

    /// TLSA records are worth nothing unless validated (RFC 7672 §2.2), so that only sources are asked whose word on it counts,
    /// where there are any: whoever silences them must not get an unvalidated "there is none" believed.
    private func sources(for question: Question) -> [DNSSource] {
        let all = self.expandedSources()
        let trusted = question.type == .tlsa ? all.filter(self.configuration.trusts) : []
        return trusted.isEmpty ? all : trusted
    }

    func ask(_ question: Question, of source: DNSSource) async -> SourceAnswer {
        await self.client.ask(
            question,
            of: source,
            .init(edns: self.health.usesEDNS(source), timeout: self.configuration.sourceTimeout)
        )
    }

    /// What is on record when the operator counts on the system's servers and there is none.
    private func emptySystem(_ question: Question) -> [SourceObservation] {
        guard self.configuration.sources.contains(.system), self.system.current().isEmpty else {
            return []
        }
        let result = "\(self.configuration.resolvConfPath) is missing or names no server"
        return [
            SourceObservation(
                source: "system",
                question: question.description,
                result: result,
                elapsed: .zero
            )
        ]
    }

    private static func after(
        _ duration: Duration,
        _ event: Event,
        to sink: AsyncStream<Event>.Continuation
    ) -> Task<Void, Never> {
        Task {
            guard (try? await Task.sleep(for: duration)) != nil else {
                return  // The lookup was over before.
            }
            sink.yield(event)
        }
    }
}
