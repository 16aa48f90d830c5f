import DNSProtocol
import MailModel

extension ResolverChain {
    private enum Event: Sendable {
        case answer(Int, SourceAnswer)
        case unchecked(Int, isBogus: Bool)
        case headStartElapsed(Int)
        case deadline
    }

    /// One lookup while it runs.
    private struct Course {
        let question: Question
        let sources: [DNSSource]
        let sink: AsyncStream<Event>.Continuation
        let denials = Denials()
        var machine: LookupMachine
        var answers: [Int: SourceAnswer] = [:]
        var pending: [Int: ContinuousClock.Instant] = [:]
        var foundBogus: Set<Int> = []
        var timers: [Task<Void, Never>] = []
    }

    /// Drives the lookup machine with real sources.
    ///
    /// A source that another one outran is not cut short: it is heard out for its health's sake, so that the next lookup
    /// does not wait for a silent one again, for as long as a single source may take and no longer.
    func ask(_ question: Question, confirmsNegative: Bool, within limit: Duration) async -> Finding {
        let sources = self.health.ordered(self.sources(for: question))
        let (events, sink) = AsyncStream.makeStream(of: Event.self)
        var course = Course(
            question: question,
            sources: sources,
            sink: sink,
            machine: LookupMachine(sources: sources.map(self.traits), rule: self.rule(confirmsNegative))
        )
        course.timers.append(Self.after(limit, .deadline, to: sink))
        defer { course.timers.forEach { $0.cancel() } }
        var verdict = self.obey(course.machine.start(), &course)
        var arrivals = events.makeAsyncIterator()
        while verdict == nil, let event = await arrivals.next() {
            verdict = self.obey(self.note(event, &course), &course)
        }
        return self.conclude(verdict ?? .unavailable, course)
    }

    private func note(_ event: Event, _ course: inout Course) -> [LookupMachine.Action] {
        switch event {
        case .answer(let index, let answer):
            course.pending[index] = nil
            course.answers[index] = answer
            return course.machine.answered(
                index,
                answer.interpretation,
                isAuthenticated: answer.isAuthenticated
            )
        case .unchecked(let index, let isBogus):
            if isBogus {
                course.foundBogus.insert(index)
            }
            return course.machine.checked(index, isBogus: isBogus)
        case .headStartElapsed(let index):
            return course.machine.headStartElapsed(index)
        case .deadline:
            return course.machine.deadlineReached()
        }
    }

    /// Does what the machine wants; gives the verdict once there is one.
    private func obey(_ actions: [LookupMachine.Action], _ course: inout Course) -> LookupMachine.Verdict? {
        for action in actions {
            let (question, sink) = (course.question, course.sink)
            switch action {
            case .ask(let index):
                let (source, denials) = (course.sources[index], course.denials)
                course.pending[index] = .now
                Task {
                    let answer = await self.ask(question, of: source)
                    if answer.interpretation.hasRecords {
                        answer.parts.forEach { self.remember($0.question, $0.bytes, from: source) }
                    }
                    if answer.interpretation.isNegative, denials.add(index) {
                        self.health.contradict(source)
                    }
                    sink.yield(.answer(index, answer))
                }
            case .askUnchecked(let index):
                let source = course.sources[index]
                Task { sink.yield(.unchecked(index, isBogus: await self.callsBogus(question, source))) }
            case .armHeadStart(let index):
                course.timers.append(Self.after(self.configuration.headStart, .headStartElapsed(index), to: sink))
            case .finish(let verdict):
                return verdict
            }
        }
        return nil
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

// MARK: - Whom and how

extension ResolverChain {
    /// TLSA records are worth nothing unless validated (RFC 7672 §2.2), so that only sources are asked whose word on it counts,
    /// where there are any: whoever silences them must not get an unvalidated "there is none" believed.
    private func sources(for question: Question) -> [DNSSource] {
        let all = self.expandedSources()
        let trusted = question.type == .tlsa ? all.filter(self.configuration.trusts) : []
        return trusted.isEmpty ? all : trusted
    }

    private func traits(_ source: DNSSource) -> LookupMachine.Source {
        .init(
            witness: source.witness,
            validates: self.health.validates(source),
            isDoubtful: !self.health.isHealthy(source)
        )
    }

    private func rule(_ confirmsNegative: Bool) -> LookupMachine.NegativeRule {
        guard confirmsNegative else {
            return .first
        }
        return self.configuration.isCautious ? .caution : self.configuration.believesLoneNegative ? .first : .agreement
    }

    /// Asks one source, and remembers how it did.
    func ask(_ question: Question, of source: DNSSource) async -> SourceAnswer {
        let answer = await self.client.ask(question, of: source, self.manner(source))
        self.note(self.health.record(answer, to: question, of: source), of: source)
        return answer
    }

    func manner(_ source: DNSSource) -> SourceClient.Manner {
        .init(edns: self.health.usesEDNS(source), timeout: self.configuration.sourceTimeout)
    }

    /// Whether a source has an answer without validation, and again none with it: it is the data that it refuses.
    ///
    /// Somebody waits with a good answer in hand, hence not for long.
    private func callsBogus(_ question: Question, _ source: DNSSource) async -> Bool {
        var manner = self.manner(source)
        manner.checkingDisabled = true
        manner.timeout = min(self.configuration.headStart, manner.timeout)
        let unchecked = await self.client.ask(question, of: source, manner)
        guard unchecked.interpretation.isUsable else {
            return false
        }
        manner.checkingDisabled = false
        return await self.client.ask(question, of: source, manner).failure?.isUnexplained == true
    }
}

// MARK: - What came of it

extension ResolverChain {
    private func conclude(_ verdict: LookupMachine.Verdict, _ course: Course) -> Finding {
        var denied: Set<Int> = []
        if case .answer(let index) = verdict, let answer = course.answers[index] {
            self.judge(course, except: answer)
            if answer.interpretation.hasRecords {
                denied = course.denials.refute()
            }
        }
        if !denied.isEmpty {
            denied.forEach { self.health.contradict(course.sources[$0]) }
            self.announceDisagreement(on: course.question, between: course.answers, course.sources)
        }
        var story: [(Int, SourceObservation)] = course.answers.map { index, answer in
            var observation = SourceObservation.told(course.question, by: course.sources[index], answer)
            observation.result += course.foundBogus.contains(index) ? " (DNSSEC bogus)" : ""
            observation.result += denied.contains(index) ? " (contradicted)" : ""
            return (index, observation)
        }
        story += course.pending.map { ($0, .silent(course.question, course.sources[$0], for: .now - $1)) }
        return Finding(
            verdict,
            verdict.index.flatMap { index in
                course.answers[index].map { KnownAnswer($0, from: course.sources[index], self.configuration) }
            },
            self.emptySystem(course.question) + story.sorted { $0.0 < $1.0 }.map(\.1)
        )
    }

    /// The answer stands, so that those who could not give one have failed.
    private func judge(_ course: Course, except answer: SourceAnswer) {
        for (index, other) in course.answers {
            if let failure = other.failure, failure.mayBeOfTheName, !course.foundBogus.contains(index) {
                let source = course.sources[index]
                self.note(self.health.judge(failure, to: course.question, of: source), of: source)
            }
        }
    }

    /// What is on record when there is no server of the system.
    private func emptySystem(_ question: Question) -> [SourceObservation] {
        self.systemFinding.map {
            [SourceObservation(source: "system", question: question.description, result: $0, elapsed: .zero)]
        } ?? []
    }
}
