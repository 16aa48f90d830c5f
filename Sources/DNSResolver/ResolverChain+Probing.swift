import DNSProtocol
import Logging
import MailModel

extension ResolverChain {
    /// How often it is looked whether a failing source is due to be asked again.
    private static let probeTick = Duration.seconds(1)
    /// How soon it may be told again that DNS is back, so that one that comes and goes drives nobody in circles.
    private static let recoveryInterval = Duration.seconds(60)
    /// What every resolver can answer.
    private static let root = Question(.ns, .root)

    /// Finds out which sources validate, before the first mail depends on it, within the time that a source has.
    package func prepare() async {
        await self.probe(at: .now)
    }

    /// Asks failing sources again, behind the scenes, until cancelled.
    ///
    /// - Parameter onRecovery: Called when a source answers again after there was none that did: what waited for DNS may go.
    package func run(onRecovery: @Sendable () async -> Void = {}) async {
        var wasOut = self.isOut
        var told: ContinuousClock.Instant?
        while (try? await Task.sleep(for: Self.probeTick)) != nil {
            await self.probe(at: .now)
            let isOut = self.isOut
            if wasOut, !isOut, told.map({ .now - $0 > Self.recoveryInterval }) ?? true {
                told = .now
                await onRecovery()
            }
            wasOut = isOut
        }
    }

    /// Whether every source is failing.
    package var isOut: Bool {
        !self.expandedSources().contains(where: self.health.isHealthy)
    }

    /// Asks the failing sources that are due at a time what they failed on, suspect ones what nobody can fail on, and those
    /// that may be asked beside others, or have validated something, whether they validate: the root is signed, and tells
    /// nobody who gets mail from here.
    package func probe(at now: ContinuousClock.Instant) async {
        let sources = self.expandedSources()
        let current = Set(sources)
        await withTaskGroup { group in
            for (source, question) in self.health.dueProbes(at: now) where current.contains(source) {
                group.addTask { await self.probe(source, by: question) }
            }
            for source in self.health.unexamined(sources.filter(self.isToBeExamined), at: now) {
                group.addTask {
                    let answer = await self.client.ask(Self.root, of: source, self.manner(source))
                    self.health.examined(source, answer, at: now)
                }
            }
            for source in self.health.suspects() where current.contains(source) {
                group.addTask {
                    if let failure = await self.ask(Self.root, of: source).failure {
                        self.note(self.health.judge(failure, to: Self.root, of: source), of: source)
                    }
                }
            }
        }
    }

    private func isToBeExamined(_ source: DNSSource) -> Bool {
        self.configuration.mayConfirm(source) || self.health.validates(source)
    }

    /// Asks a failing source what it failed on, and then, since that may be the name's fault, what another has answered last,
    /// or the root; who cannot answer that either goes on failing.
    private func probe(_ source: DNSSource, by question: Question) async {
        guard let failure = await self.ask(question, of: source).failure, failure.mayBeOfTheName else {
            return
        }
        let other = self.health.answeredQuestion(otherThan: question) ?? Self.root
        let second = other == question ? failure : await self.ask(other, of: source).failure
        if let second {
            self.note(self.health.judge(second, to: question, of: source), of: source)
        }
    }

    /// Tells the log of a source that left or came back; with it, what failures had made us believe is over.
    func note(_ change: SourceHealth.Change?, of source: DNSSource) {
        switch change {
        case nil:
            break
        case .left(let why):
            self.logger.notice("a DNS source has left", metadata: ["source": "\(source)", "why": "\(why)"])
        case .cameBack(let duration, let isNews):
            self.forgetFailures()
            if isNews {
                self.logger.notice(
                    "a DNS source is back",
                    metadata: ["source": "\(source)", "after": "\(spoken(duration))"]
                )
            }
        }
    }

    /// Some say that there is no such thing, and others have it: one of them lies, or knows only half.
    func announceDisagreement(on question: Question, between answers: [Int: SourceAnswer], _ sources: [DNSSource]) {
        guard self.announcements.isDue("disagreement \(question)") else {
            return
        }
        let story = answers.sorted { $0.key < $1.key }.map { "\(sources[$0.key]) \($0.value.interpretation.summary)" }
        self.logger.warning(
            "DNS sources disagree; who has records is believed",
            metadata: ["question": "\(question)", "answers": "\(story.joined(separator: ", "))"]
        )
    }

    /// A last good answer stands in for sources that are all silent.
    func announceStale(_ question: Question, _ age: Duration) {
        guard self.announcements.isDue("stale \(question)") else {
            return
        }
        self.logger.warning(
            "no DNS source answers; the last good answer is used",
            metadata: ["question": "\(question)", "age": "\(spoken(age))"]
        )
    }

    /// Who validates says that the data are wrong, while others hand them out.
    func announceBogus(_ question: Question, _ finding: Finding) {
        guard self.announcements.isDue("bogus \(question)") else {
            return
        }
        self.logger.warning("DNSSEC bogus; not used", metadata: ["why": "\(finding.unavailability)"])
    }
}
