import DNSProtocol
import MailModel

extension ResolverChain {
    /// How long sources may take where a last good answer is at hand (RFC 8767 §5), or where all of them have just failed.
    private static let littlePatience = Duration.milliseconds(1_800)

    enum Event: Sendable {
        case answer(Int, SourceAnswer)
        case unchecked(Int, isBogus: Bool)
        case headStartElapsed(Int)
        case patienceElapsed
        case littlePatienceElapsed
        case deadline
    }

    /// One lookup while it runs.
    struct Course {
        let question: Question
        let sources: [DNSSource]
        let events: AsyncStream<Event>
        let sink: AsyncStream<Event>.Continuation
        let denials = Denials()
        var machine: LookupMachine
        var answers: [Int: SourceAnswer] = [:]
        var pending: [Int: ContinuousClock.Instant] = [:]
        var foundBogus: Set<Int> = []
        var denied: Set<Int> = []
        var hasGiven = false
        var timers: [Task<Void, Never>] = []
    }

    /// Where a lookup stands when it has something to tell.
    private enum Word {
        /// An answer that may be corrected yet.
        case given(LookupMachine.Verdict)
        case final(LookupMachine.Verdict)
    }

    /// Drives the lookup machine with real sources; also gives the rest of a lookup that is not over with its answer.
    ///
    /// A source that another one outran is not cut short: it is heard out for its health's sake, so that the next lookup
    /// does not wait for a silent one again, for as long as a single source may take and no longer.
    func ask(_ question: Question, confirmsNegative: Bool) async -> (finding: Finding, rest: Course?) {
        let sources = self.health.ordered(self.sources(for: question))
        let (events, sink) = AsyncStream.makeStream(of: Event.self)
        var course = Course(
            question: question,
            sources: sources,
            events: events,
            sink: sink,
            machine: LookupMachine(sources: self.traits(of: sources), rule: self.rule(confirmsNegative))
        )
        let limit = self.configuration.lookupTimeout
        course.timers.append(Self.after(self.isOut ? min(limit, Self.littlePatience) : limit, .deadline, to: sink))
        if limit > Self.littlePatience {
            course.timers.append(Self.after(Self.littlePatience, .littlePatienceElapsed, to: sink))
        }
        switch await self.proceed(&course, self.obey(course.machine.start(), &course)) {
        case .given(let verdict):
            return (self.conclude(verdict, &course), course)
        case .final(let verdict):
            course.timers.forEach { $0.cancel() }
            return (self.conclude(verdict, &course), nil)
        }
    }

    /// Hears a lookup out whose answer was given before a validator had spoken; nil when it was right.
    func hearOut(_ rest: Course) async -> Finding? {
        var course = rest
        defer { course.timers.forEach { $0.cancel() } }
        guard case .final(let verdict) = await self.proceed(&course, nil) else {
            preconditionFailure("an answer is given once")
        }
        let finding = self.conclude(verdict, &course)
        return verdict == .bogus || finding.answer?.isSecure == true ? finding : nil
    }

    private func proceed(_ course: inout Course, _ first: Word?) async -> Word {
        if let first {
            return first
        }
        for await event in course.events {
            let actions = await self.note(event, &course)
            if let word = self.obey(actions, &course) {
                return word
            }
        }
        return .final(.unavailable)
    }

    private func note(_ event: Event, _ course: inout Course) async -> [LookupMachine.Action] {
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
        case .patienceElapsed:
            return course.machine.patienceElapsed()
        case .littlePatienceElapsed:
            // Read only now, since nearly every lookup is over before. What a source has just said, and waits for a
            // validator's word, is not a last good answer.
            guard !course.hasGiven, !course.answers.values.contains(where: \.interpretation.hasRecords),
                await self.hasLastGood(course.question)
            else {
                return []
            }
            return course.machine.deadlineReached()
        case .deadline:
            return course.machine.deadlineReached()
        }
    }

    /// Does what the machine wants; gives its word once there is one.
    private func obey(_ actions: [LookupMachine.Action], _ course: inout Course) -> Word? {
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
            case .armPatience:
                course.timers.append(Self.after(self.configuration.validatorPatience, .patienceElapsed, to: sink))
            case .give(let index):
                course.hasGiven = true
                return .given(.answer(index))
            case .finish(let verdict):
                return .final(verdict)
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

    private func traits(of sources: [DNSSource]) -> [LookupMachine.Source] {
        let system = self.configuration.sources.contains(.system) ? self.system.current() : []
        return sources.map { source in
            .init(
                witness: source.witness,
                party: source.party(besides: system),
                validates: self.health.validates(source),
                isDoubtful: !self.health.isHealthy(source),
                confirms: self.configuration.mayConfirm(source)
                    && (self.health.validates(source) || self.configuration.isNamedTrusted(source)),
                isEncrypted: source.isEncrypted
            )
        }
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
    private func callsBogus(_ question: Question, _ source: DNSSource) async -> Bool {
        var manner = self.manner(source)
        manner.checkingDisabled = true
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
    private func conclude(_ verdict: LookupMachine.Verdict, _ course: inout Course) -> Finding {
        if case .answer(let index) = verdict, let answer = course.answers[index] {
            self.judge(course, except: answer)
            if answer.interpretation.hasRecords {
                self.refute(&course)
            }
        }
        var story: [(Int, SourceObservation)] = course.answers.map { [course] index, answer in
            var observation = SourceObservation.told(course.question, by: course.sources[index], answer)
            observation.result += course.foundBogus.contains(index) ? " (DNSSEC bogus)" : ""
            observation.result += course.denied.contains(index) ? " (contradicted)" : ""
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

    /// Somebody has the records, so that whoever denied them was wrong.
    private func refute(_ course: inout Course) {
        let denied = course.denials.refute().subtracting(course.denied)
        guard !denied.isEmpty else {
            return
        }
        course.denied.formUnion(denied)
        denied.forEach { self.health.contradict(course.sources[$0]) }
        self.announceDisagreement(on: course.question, between: course.answers, course.sources)
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
