import DNSProtocol
import TestKit
import Testing

@Suite("The lookup machine")
struct LookupMachineTests {
    private let records = Interpretation.records([.text([])], timeToLive: 60)
    private let negative = Interpretation.noSuchName(timeToLive: 60)
    private let mild = Interpretation.noData(timeToLive: 5)
    private let silence = Interpretation.failed(.silence)
    private let failure = Interpretation.failed(.code(.serverFailure))
    private let bogus = Interpretation.failed(.code(.serverFailure, ExtendedError(rawValue: 6)))

    /// Sources by the names of their witnesses, in capitals for those of resolv.conf; behind them a `+` for one that validates, a `*` for one that may be asked beside others,
    /// a `#` for an encrypted one, and a `-` for one that has just failed.
    private func machine(
        _ sources: [String],
        _ rule: LookupMachine.NegativeRule = .agreement
    ) -> LookupMachine {
        LookupMachine(
            sources: sources.map {
                .init(
                    witness: String($0.prefix(1)),
                    party: $0.prefix(1).allSatisfy(\.isUppercase) ? "system" : nil,
                    validates: $0.contains("+"),
                    isDoubtful: $0.hasSuffix("-"),
                    confirms: $0.contains("*"),
                    isEncrypted: $0.contains("#")
                )
            },
            rule: rule
        )
    }

    // MARK: Order and time

    @Test("a failure is followed by the next source at once; the first records win")
    func goesOn() {
        var machine = self.machine(["a", "b", "c"])
        #expect(machine.start() == [.ask(0), .armHeadStart(0)])
        #expect(machine.answered(0, self.silence) == [.ask(1), .armHeadStart(1)])
        #expect(machine.answered(1, self.records) == [.finish(.answer(1))])
        #expect(machine.answered(2, self.records).isEmpty)
    }

    @Test("a silent source is joined by the next one after its head start, and only after its own")
    func joins() {
        var machine = self.machine(["a", "b", "c"])
        _ = machine.start()
        #expect(machine.headStartElapsed(0) == [.ask(1), .armHeadStart(1)])
        #expect(machine.headStartElapsed(0).isEmpty, "the timer of a source that was joined already")
        #expect(machine.answered(0, self.silence) == [.ask(2)])
        #expect(machine.headStartElapsed(1).isEmpty)
        #expect(machine.answered(1, self.records) == [.finish(.answer(1))])
    }

    @Test("without sources, and at the deadline, the answer is that there is none")
    func ends() {
        var none = self.machine([])
        #expect(none.start() == [.finish(.unavailable)])
        var slow = self.machine(["a"])
        _ = slow.start()
        #expect(slow.deadlineReached() == [.finish(.unavailable)])
        #expect(slow.deadlineReached().isEmpty)
        var failing = self.machine(["a", "b"])
        _ = failing.start()
        _ = failing.answered(0, self.silence)
        #expect(failing.answered(1, self.failure) == [.finish(.unavailable)])
    }

    @Test("answers of sources that were not asked, or were heard already, change nothing")
    func ignoresStrangers() {
        var machine = self.machine(["a", "b"])
        _ = machine.start()
        #expect(machine.answered(1, self.records).isEmpty)
        #expect(machine.answered(7, self.records).isEmpty)
        #expect(machine.checked(0, isBogus: true).isEmpty)
        _ = machine.answered(0, self.silence)
        #expect(machine.answered(0, self.records).isEmpty)
    }

    // MARK: Negative answers

    @Test("a lone NXDOMAIN is not believed while there is a second source, and the second one's records win")
    func confirmsNegative() {
        var machine = self.machine(["a", "b"])
        _ = machine.start()
        #expect(machine.answered(0, self.negative) == [.ask(1)])
        #expect(machine.answered(1, self.records) == [.finish(.answer(1))])
    }

    @Test("two that agree are believed once everybody else was heard; the milder word stands when they differ")
    func believesTwo() {
        var machine = self.machine(["a", "b", "c"])
        _ = machine.start()
        #expect(machine.answered(0, self.negative) == [.ask(1), .ask(2)])
        #expect(machine.answered(1, self.mild).isEmpty)
        #expect(machine.answered(2, self.silence) == [.finish(.answer(1))])
    }

    @Test("two that lie alike do not outvote the one who knows")
    func majorityLies() {
        var machine = self.machine(["a", "b", "c"])
        _ = machine.start()
        _ = machine.answered(0, self.negative)
        #expect(machine.answered(1, self.negative).isEmpty)
        #expect(machine.answered(2, self.records) == [.finish(.answer(2))])
    }

    @Test("what one server says twice over two transports is said once")
    func sameWitness() {
        var machine = self.machine(["a", "b", "a", "b"])
        _ = machine.start()
        #expect(machine.answered(0, self.negative) == [.ask(1)])
        #expect(machine.answered(1, self.silence) == [.ask(3)], "the other transport of the one that failed")
        #expect(machine.answered(3, self.silence) == [.finish(.unconfirmed)])
        var alone = self.machine(["a", "a"])
        _ = alone.start()
        #expect(alone.answered(0, self.negative) == [.finish(.answer(0))])
    }

    @Test("servers of one resolv.conf are no two witnesses where there are others, and must agree where there are none")
    func oneParty() {
        var machine = self.machine(["A", "B", "c", "c"])
        _ = machine.start()
        #expect(machine.answered(0, self.negative) == [.ask(1), .ask(2)])
        #expect(machine.answered(1, self.negative).isEmpty)
        #expect(machine.answered(2, self.silence) == [.ask(3)], "nobody else agrees yet")
        #expect(machine.answered(3, self.silence) == [.finish(.unconfirmed)])

        machine = self.machine(["A", "B", "c"])
        _ = machine.start()
        _ = machine.answered(0, self.negative)
        _ = machine.answered(1, self.silence)
        #expect(machine.answered(2, self.negative) == [.finish(.answer(0))])

        for (second, verdict) in [(self.negative, LookupMachine.Verdict.answer(0)), (self.silence, .unconfirmed)] {
            machine = self.machine(["A", "B"])
            _ = machine.start()
            #expect(machine.answered(0, self.negative) == [.ask(1)])
            #expect(machine.answered(1, second) == [.finish(verdict)])
        }
        machine = self.machine(["A", "B"], .caution)
        _ = machine.start()
        _ = machine.answered(0, self.negative)
        #expect(machine.answered(1, self.negative) == [.finish(.unconfirmed)])
    }

    @Test("before plain words alone are believed, an encrypted source is heard, whoever speaks through it")
    func asksEncrypted() {
        let outcomes: [(Interpretation, LookupMachine.Verdict)] = [
            (self.records, .answer(2)), (self.negative, .answer(0)), (self.bogus, .bogus),
        ]
        for (word, verdict) in outcomes {
            var machine = self.machine(["a", "b", "a#", "b#"])
            _ = machine.start()
            #expect(machine.answered(0, self.negative) == [.ask(1)])
            #expect(machine.answered(1, self.negative) == [.ask(2)])
            #expect(machine.answered(2, word) == [.finish(verdict)], "\(word)")
        }
        let later: [(Interpretation, LookupMachine.Verdict)] = [
            (self.records, .answer(4)), (self.silence, .answer(0)),
        ]
        for (word, verdict) in later {
            var machine = self.machine(["a", "b", "a#", "a#-", "b#"])
            _ = machine.start()
            _ = machine.answered(0, self.negative)
            _ = machine.answered(1, self.negative)
            #expect(machine.answered(2, self.failure) == [.ask(4)], "the next one that has not just failed")
            #expect(machine.answered(4, word) == [.finish(verdict)], "\(word)")
        }
        var late = self.machine(["a", "b", "a#"])
        _ = late.start()
        _ = late.answered(0, self.negative)
        _ = late.answered(1, self.negative)
        #expect(late.deadlineReached() == [.finish(.answer(0))])
        for sources in [["a", "b#", "a#"], ["a", "b", "a#-", "b#-"]] {
            var machine = self.machine(sources)
            _ = machine.start()
            _ = machine.answered(0, self.negative)
            #expect(machine.answered(1, self.negative) == [.finish(.answer(0))], "one has spoken, or has just failed")
        }
    }

    @Test("that there is no MX is confirmed as NXDOMAIN is, before mail goes to the domain's own host (RFC 5321 §5.1)")
    func confirmsImplicitExchanger() {
        let rows: [([String], LookupMachine.NegativeRule, Interpretation?, LookupMachine.Verdict)] = [
            (["A", "c"], .agreement, self.records, .answer(1)), (["A", "c"], .agreement, self.mild, .answer(0)),
            (["A", "c"], .agreement, self.silence, .unconfirmed), (["A", "B"], .agreement, self.silence, .unconfirmed),
            (["A"], .agreement, nil, .answer(0)), (["A"], .caution, nil, .unconfirmed),
        ]
        for (sources, rule, second, verdict) in rows {
            var machine = self.machine(sources, rule)
            _ = machine.start()
            var actions = machine.answered(0, self.mild)
            if let second {
                #expect(actions == [.ask(1)])
                actions = machine.answered(1, second)
            }
            #expect(actions == [.finish(verdict)], "\(sources) \(rule) \(second as Any)")
        }
    }

    @Test("those that failed are not asked over another transport once two others agree")
    func noSecondChance() {
        var machine = self.machine(["a", "b", "c", "c"])
        _ = machine.start()
        #expect(machine.answered(0, self.negative) == [.ask(1), .ask(2)])
        _ = machine.answered(1, self.negative)
        #expect(machine.answered(2, self.silence) == [.finish(.answer(0))])
    }

    @Test("a negative answer that nobody confirms, since the others fail, bounces nobody")
    func doubtsTheLonely() {
        var machine = self.machine(["a", "b"])
        _ = machine.start()
        _ = machine.answered(0, self.negative)
        #expect(machine.answered(1, self.silence) == [.finish(.unconfirmed)])
    }

    @Test("with one source only, its negative answer is all there is, unless caution was asked for")
    func believesTheOnlyOne() {
        var machine = self.machine(["a"])
        _ = machine.start()
        #expect(machine.answered(0, self.negative) == [.finish(.answer(0))])
        var cautious = self.machine(["a"], .caution)
        _ = cautious.start()
        #expect(cautious.answered(0, self.negative) == [.finish(.unconfirmed)])
        var credulous = self.machine(["a", "b"], .first)
        _ = credulous.start()
        #expect(credulous.answered(0, self.negative) == [.finish(.answer(0))])
    }

    @Test("at the deadline two that agree are believed, one is not, and records are never lost")
    func deadline() {
        var two = self.machine(["a", "b", "c"])
        _ = two.start()
        _ = two.answered(0, self.negative)
        #expect(two.deadlineReached() == [.finish(.unconfirmed)])
        var agreeing = self.machine(["a", "b", "c"])
        _ = agreeing.start()
        _ = agreeing.answered(0, self.negative)
        _ = agreeing.answered(1, self.negative)
        #expect(agreeing.deadlineReached() == [.finish(.answer(0))])
        var checking = self.machine(["a+", "b"])
        _ = checking.start()
        _ = checking.answered(0, self.failure)
        #expect(checking.answered(1, self.records) == [.askUnchecked(0)])
        #expect(checking.deadlineReached() == [.finish(.answer(1))])
    }

    // MARK: DNSSEC

    @Test("SERVFAIL of a validator that answers when validation is off, while others answer, is bogus")
    func checksSilentValidators() {
        var machine = self.machine(["a+", "b"])
        _ = machine.start()
        _ = machine.answered(0, self.failure)
        #expect(machine.answered(1, self.records) == [.askUnchecked(0)])
        #expect(machine.checked(0, isBogus: true) == [.finish(.bogus)])
        var broken = self.machine(["a+", "b"])
        _ = broken.start()
        _ = broken.answered(0, self.failure)
        _ = broken.answered(1, self.records)
        #expect(broken.checked(0, isBogus: false) == [.finish(.answer(1))], "it fails in any case")
        for source in ["a-", "a"] {
            var known = self.machine([source, "b"])
            _ = known.start()
            _ = known.answered(0, self.failure)
            #expect(known.answered(1, self.records) == [.finish(.answer(1))], "it was failing, or never validated")
        }
    }

    @Test("an answer that nobody validated waits for a validator that was asked, and for none that has just failed")
    func validatorIsHeard() {
        var machine = self.machine(["a+", "b"])
        #expect(machine.start() == [.ask(0), .armHeadStart(0)])
        #expect(machine.headStartElapsed(0) == [.ask(1)])
        #expect(machine.answered(1, self.records).isEmpty)
        #expect(machine.answered(0, self.records, isAuthenticated: true) == [.finish(.answer(0))])

        machine = self.machine(["a+", "b"])
        _ = machine.start()
        _ = machine.headStartElapsed(0)
        _ = machine.answered(1, self.records)
        #expect(machine.deadlineReached() == [.finish(.answer(1))])

        machine = self.machine(["a+-", "b"])
        _ = machine.start()
        _ = machine.headStartElapsed(0)
        #expect(machine.answered(1, self.records) == [.finish(.answer(1))])
    }

    @Test("who says that validation failed is believed, unless somebody who validates vouches for the answer")
    func bogusSource() {
        var machine = self.machine(["a", "b", "c", "d"])
        _ = machine.start()
        _ = machine.answered(0, self.bogus)
        #expect(machine.answered(1, self.records) == [.ask(2), .ask(3)])
        #expect(machine.answered(2, self.silence).isEmpty)
        #expect(machine.answered(3, self.records) == [.finish(.bogus)])

        var vouched = self.machine(["a", "b", "c"])
        _ = vouched.start()
        _ = vouched.answered(0, self.bogus)
        _ = vouched.answered(1, self.records)
        #expect(vouched.answered(2, self.records, isAuthenticated: true) == [.finish(.answer(2))])

        var known = self.machine(["a", "b+"])
        _ = known.start()
        _ = known.answered(0, self.bogus)
        #expect(known.answered(1, self.records) == [.finish(.answer(1))], "it would have failed, too")
    }

    // MARK: A validator beside

    @Test("a validator is asked beside a source that does not validate, and its word stands")
    func validatorBeside() {
        var machine = self.machine(["a", "b", "c+*"])
        #expect(machine.start() == [.ask(0), .ask(2), .armHeadStart(0)])
        #expect(machine.answered(0, self.records) == [.armPatience])
        #expect(machine.answered(2, self.records, isAuthenticated: true) == [.finish(.answer(2))])

        machine = self.machine(["a", "b", "c+*"])
        _ = machine.start()
        #expect(machine.answered(2, self.records) == [.finish(.answer(2))], "it would have failed otherwise")

        machine = self.machine(["a", "b*"])
        #expect(machine.start() == [.ask(0), .ask(1)], "one that the operator names is asked as well")
        _ = machine.answered(0, self.records)
        #expect(machine.answered(1, self.records) == [.finish(.answer(0))], "its word that all is well has no weight")
    }

    @Test("what it calls bogus, or cannot answer but without validation, is not used")
    func bogusBeside() {
        var machine = self.machine(["a", "b+*"])
        _ = machine.start()
        #expect(machine.answered(1, self.bogus).isEmpty)
        #expect(machine.answered(0, self.records) == [.finish(.bogus)])

        for validator in ["b+*", "b*"] {
            machine = self.machine(["a", validator])
            _ = machine.start()
            _ = machine.answered(0, self.records)
            #expect(machine.answered(1, self.failure) == [.askUnchecked(1)])
            #expect(machine.checked(1, isBogus: true) == [.finish(.bogus)])
        }

        machine = self.machine(["a", "b+*", "c"])
        _ = machine.start()
        _ = machine.answered(0, self.records)
        #expect(machine.answered(1, self.bogus) == [.ask(2)], "others may vouch for the answer")
        #expect(machine.answered(2, self.records, isAuthenticated: true) == [.finish(.answer(2))])
    }

    @Test("a validator that is silent holds an answer up for a short while, and may correct it later")
    func lateValidator() {
        var machine = self.machine(["a", "b+*"])
        _ = machine.start()
        #expect(machine.patienceElapsed().isEmpty, "nobody waits yet")
        #expect(machine.answered(0, self.records) == [.armPatience])
        #expect(machine.patienceElapsed() == [.give(0)])
        #expect(machine.patienceElapsed().isEmpty)
        var silent = machine
        #expect(silent.answered(1, self.silence) == [.finish(.answer(0))])
        var confirming = machine
        #expect(confirming.answered(1, self.records, isAuthenticated: true) == [.finish(.answer(1))])
        #expect(machine.answered(1, self.failure) == [.askUnchecked(1)])
        #expect(machine.checked(1, isBogus: true) == [.finish(.bogus)])
    }

    @Test("a check that runs when the patience is over is waited for")
    func patienceDuringCheck() {
        var machine = self.machine(["a", "b+*"])
        _ = machine.start()
        _ = machine.answered(0, self.records)
        #expect(machine.answered(1, self.failure) == [.askUnchecked(1)])
        #expect(machine.patienceElapsed().isEmpty)
        #expect(machine.checked(1, isBogus: false) == [.finish(.answer(0))])
    }

    @Test("none is asked beside a validator, none that has just failed, and none that may not be")
    func noValidatorBeside() {
        for sources in [["a+", "b+*"], ["a*", "b+*"], ["a", "b+*-"], ["a", "b+"]] {
            var machine = self.machine(sources)
            #expect(machine.start() == [.ask(0), .armHeadStart(0)], "\(sources)")
        }
    }

    @Test("a validator that is dead is replaced by the next one, and nobody else is asked for it")
    func deadValidator() {
        var machine = self.machine(["a", "b+*", "c+*", "d"])
        #expect(machine.start() == [.ask(0), .ask(1), .armHeadStart(0)])
        #expect(machine.answered(1, self.silence) == [.ask(2)])
        #expect(machine.answered(2, self.silence).isEmpty, "the first one has its head start yet")
        #expect(machine.answered(0, self.records) == [.finish(.answer(0))])

        machine = self.machine(["a+", "b", "c+*"])
        _ = machine.start()
        #expect(machine.answered(0, self.silence) == [.ask(1), .ask(2)], "the first one would have been enough")
    }

    @Test("when its turn comes it has been asked already, and gets its head start")
    func confirmersTurn() {
        var machine = self.machine(["a", "b+*", "c"])
        #expect(machine.start() == [.ask(0), .ask(1), .armHeadStart(0)])
        #expect(machine.answered(0, self.silence) == [.armHeadStart(1)])
        #expect(machine.headStartElapsed(1) == [.ask(2)])
        #expect(machine.answered(2, self.records) == [.armPatience])
        #expect(machine.patienceElapsed() == [.give(2)])

        machine = self.machine(["a", "b+*", "c"])
        _ = machine.start()
        #expect(machine.headStartElapsed(0) == [.armHeadStart(1)])
        #expect(machine.answered(1, self.silence) == [.ask(2)], "the turn of the next one")

        machine = self.machine(["a", "b+*"])
        _ = machine.start()
        _ = machine.answered(0, self.silence)
        #expect(machine.answered(1, self.silence) == [.finish(.unavailable)])
        machine = self.machine(["a", "b+*"])
        _ = machine.start()
        _ = machine.answered(1, self.silence)
        #expect(machine.answered(0, self.silence) == [.finish(.unavailable)])
    }

    @Test("negative answers may be forged as well")
    func bogusDenial() {
        var machine = self.machine(["a", "b", "c"])
        _ = machine.start()
        _ = machine.answered(0, self.bogus)
        #expect(machine.answered(1, self.negative) == [.ask(2)])
        #expect(machine.answered(2, self.negative) == [.finish(.bogus)])
        var early = self.machine(["a", "b"], .first)
        _ = early.start()
        _ = early.answered(0, self.bogus)
        #expect(early.answered(1, self.negative) == [.finish(.bogus)])
    }

    @Test("when all validate and all fail, nobody could answer")
    func allBogus() {
        var machine = self.machine(["a", "b"])
        _ = machine.start()
        _ = machine.answered(0, self.bogus)
        #expect(machine.answered(1, self.bogus) == [.finish(.unavailable)])
    }

    @Test(
        "however answers come, a lookup ends, and with records whenever an honest source had them",
        arguments: 0..<200
    )
    func ends(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let kinds = [self.records, self.negative, self.mild, self.silence, self.failure, self.bogus]
        let names = ["a", "b", "c*", "a#", "d+*"].prefix(Int.random(in: 1...5, using: &generator))
        var machine = self.machine(Array(names))
        var open = machine.start()
        var hadRecords = false
        var calledBogus = false
        for _ in 0..<100 {
            guard !open.isEmpty else {
                Issue.record("it waits for nothing, seed \(seed)")
                return
            }
            switch open.remove(at: Int.random(in: open.indices, using: &generator)) {
            case .ask(let index):
                let kind = kinds.randomElement(using: &generator) ?? self.silence
                hadRecords = hadRecords || kind == self.records
                calledBogus = calledBogus || kind == self.bogus
                open += machine.answered(index, kind)
            case .askUnchecked(let index):
                open += machine.checked(index, isBogus: false)
            case .armHeadStart(let index):
                open += machine.headStartElapsed(index)
            case .armPatience:
                open += machine.patienceElapsed()
            case .give(let index):
                #expect(hadRecords, "\(index) is given, seed \(seed)")
            case .finish(let verdict):
                if hadRecords, !calledBogus, case .answer(let index) = verdict {
                    #expect(index < names.count)
                } else if hadRecords, !calledBogus {
                    Issue.record("\(verdict), seed \(seed)")
                }
                return
            }
        }
        Issue.record("no end, seed \(seed)")
    }
}
