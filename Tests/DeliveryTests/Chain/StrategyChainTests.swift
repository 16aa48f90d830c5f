import Delivery
import TestKit
import Testing

@Suite("The strategy chain decides by persistence, scope and stage alone")
struct StrategyChainTests {
    static let chain = StrategyChain(providers: ["direct"], fallbackAfter: .seconds(120), onAmbiguous: .resend)
    static let next = Judgement.Move.nextProvider(bouncesWhenExhausted: false)

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let failure: Failure
        var deferredFor: Duration = .zero
        let expected: Judgement
    }

    static let rows: [Row] = [
        Row(
            testDescription: "550 no such user bounces, and no other way is asked",
            failure: .sample(.permanent, .recipient),
            expected: .bounce
        ),
        Row(
            testDescription: "450 greylisted stays with its provider",
            failure: .sample(.transient, .recipient),
            expected: Judgement(.sameProviderLater)
        ),
        Row(
            testDescription: "450 greylisted for longer than fallback-after moves on",
            failure: .sample(.transient, .recipient),
            deferredFor: .seconds(120),
            expected: Judgement(next)
        ),
        Row(
            testDescription: "554 content bounces",
            failure: .sample(.permanent, .message, .commit),
            expected: .bounce
        ),
        Row(
            testDescription: "451 after the final dot stays with its provider",
            failure: .sample(.transient, .message, .commit),
            expected: Judgement(.sameProviderLater)
        ),
        Row(
            testDescription: "too big here moves on, and bounces when nobody can carry it",
            failure: .sample(.permanent, .capability, .mail),
            expected: Judgement(.nextProvider(bouncesWhenExhausted: true))
        ),
        Row(
            testDescription: "an unverified sender moves on and closes the way for its domain",
            failure: .sample(.permanent, .sender, .commit),
            expected: Judgement(next, opens: .senderDomain, alerts: true)
        ),
        Row(
            testDescription: "a sender that is refused for this message alone moves on and closes nothing",
            failure: .sample(.transient, .sender, .commit),
            expected: Judgement(next, alerts: true)
        ),
        Row(
            testDescription: "NXDOMAIN confirmed bounces",
            failure: .sample(.permanent, .destination, .resolve),
            expected: .bounce
        ),
        Row(
            testDescription: "a DNS that cannot be asked moves on at once and never bounces",
            failure: .sample(.transient, .destination, .resolve),
            expected: Judgement(next, opens: .destination)
        ),
        Row(
            testDescription: "no host could be connected: moves on at once",
            failure: .sample(.transient, .destination, .connect),
            expected: Judgement(next, opens: .destination)
        ),
        Row(
            testDescription: "a host that never greets was not connected to",
            failure: .sample(.transient, .destination, .greeting, reason: .timeout),
            expected: Judgement(next, opens: .destination)
        ),
        Row(
            testDescription: "421 in the greeting is retried",
            failure: .sample(.transient, .destination, .greeting),
            expected: Judgement(.sameProviderLater)
        ),
        Row(
            testDescription: "421 in the greeting for longer than fallback-after moves on",
            failure: .sample(.transient, .destination, .greeting),
            deferredFor: .seconds(121),
            expected: Judgement(next)
        ),
        Row(
            testDescription: "our address refused by policy moves on at once, never bounces, and they are left alone",
            failure: .sample(.transient, .destination, .greeting, reason: .policyRefused),
            expected: Judgement(next, opens: .destination, alerts: true)
        ),
        Row(
            testDescription: "a policy that speaks after the content moves on, and may take the next message",
            failure: .sample(.transient, .destination, .commit, reason: .policyRefused),
            expected: Judgement(next, alerts: true)
        ),
        Row(
            testDescription: "535 closes the way until something changes",
            failure: .sample(.permanent, .provider, .auth),
            expected: Judgement(next, opens: .providerUntilChanged, alerts: true)
        ),
        Row(
            testDescription: "429 closes the way for a while",
            failure: .sample(.transient, .provider, .commit, retryAfter: .seconds(30)),
            expected: Judgement(next, opens: .provider)
        ),
        Row(
            testDescription: "content that does not get through moves on, and may be the fault of this message",
            failure: .sample(.transient, .provider, .data, reason: .timeout),
            expected: Judgement(next, opens: .providerInDoubt)
        ),
        Row(
            testDescription: "a connection that breaks amid the content may be the fault of this message",
            failure: .sample(.transient, .provider, .data, reason: .connectionLost),
            expected: Judgement(next, opens: .providerInDoubt)
        ),
        Row(
            testDescription: "a final dot that never left may be the fault of this message",
            failure: .sample(.transient, .provider, .commit, reason: .timeout),
            expected: Judgement(next, opens: .providerInDoubt)
        ),
        Row(
            testDescription: "silence before the content closes the way for a while",
            failure: .sample(.transient, .provider, .mail, reason: .timeout),
            expected: Judgement(next, opens: .provider)
        ),
        Row(
            testDescription: "our own disk moves nothing",
            failure: .sample(.transient, .local, .commit),
            expected: Judgement(.waitHere)
        ),
        Row(
            testDescription: "an answer that never came is asked again of the same provider",
            failure: .sample(.ambiguous, .destination, .commit),
            expected: Judgement(.sameProviderLater)
        ),
        Row(
            testDescription: "an answer of a provider that never came may leave it alone, and stays with it",
            failure: .sample(.ambiguous, .provider, .commit),
            expected: Judgement(.sameProviderLater, opens: .providerInDoubt)
        ),
    ]

    @Test("one row of the table each", arguments: rows)
    func judges(_ row: Row) {
        #expect(Self.chain.judge(row.failure, deferredFor: row.deferredFor) == row.expected)
    }

    @Test("a second ambiguous answer in a row moves on")
    func movesOnWhenAmbiguousTwice() {
        let failure = Failure.sample(.ambiguous, .provider, .commit)
        let judgement = Self.chain.judge(failure, deferredFor: .zero, alreadyAmbiguous: true)
        #expect(judgement == Judgement(Self.next, opens: .providerInDoubt, alerts: true))
    }

    @Test("who may have the message and is down now is waited for until fallback-after", arguments: [119, 120])
    func waitsForWhoMayHaveIt(seconds: Int) {
        let failure = Failure.sample(.transient, .provider, .connect)
        let judgement = Self.chain.judge(failure, deferredFor: .seconds(seconds), alreadyAmbiguous: true)
        #expect(judgement == Judgement(seconds < 120 ? .sameProviderLater : Self.next, opens: .provider))
    }

    @Test("who may have the message and refuses it for good is not waited for")
    func leavesWhoRefuses() {
        let failure = Failure.sample(.permanent, .provider, .auth)
        let judgement = Self.chain.judge(failure, deferredFor: .zero, alreadyAmbiguous: true)
        #expect(judgement == Judgement(Self.next, opens: .providerUntilChanged, alerts: true))
    }

    @Test("on-ambiguous hold keeps the message for a person, whatever the scope", arguments: Failure.Scope.allCases)
    func holdsAmbiguous(_ scope: Failure.Scope) {
        let chain = StrategyChain(providers: ["direct"], fallbackAfter: .zero, onAmbiguous: .hold)
        #expect(chain.judge(.sample(.ambiguous, scope, .commit), deferredFor: .zero).move == .hold)
    }

    @Test("only recipient, message and destination can bounce a message", arguments: Failure.Scope.allCases)
    func bouncesOnlyForReasonsOfTheMail(_ scope: Failure.Scope) {
        let judgement = Self.chain.judge(.sample(.permanent, scope), deferredFor: .seconds(1_000_000))
        #expect((judgement.move == .bounce) == [.recipient, .message, .destination].contains(scope))
    }

    @Test("a recipient waits with a provider no longer than until the next one may be asked")
    func patience() {
        let chain = StrategyChain(
            providers: ["direct", "gmail"],
            fallbackAfter: .seconds(120),
            onAmbiguous: .resend
        )
        #expect(chain.patience(with: "direct", deferredFor: .seconds(90)) == .seconds(30))
        #expect(chain.patience(with: "direct", deferredFor: .seconds(120)) == nil)
        #expect(chain.patience(with: "gmail", deferredFor: .zero) == nil)
        #expect(chain.patience(with: "gmail", deferredFor: .seconds(90), isInDoubt: true) == .seconds(30))
        #expect(chain.patience(with: "gmail", deferredFor: .seconds(120), isInDoubt: true) == nil)
    }
}
