import Benchmark
import Delivery
import MailModel
import TestKit

/// The decision where a recipient goes next: what the chain makes of a failure, and whom the breakers let through.
func chainBenchmarks() {
    let chain = StrategyChain(
        providers: ["direct", "gmail", "sendgrid", "mailgun"],
        fallbackAfter: .seconds(120),
        onAmbiguous: .resend
    )
    let failures = [
        Failure(.transient, .destination, .resolve, status: .init(4, 4, 3), text: "x", reason: .dnsUnavailable),
        Failure(.permanent, .provider, .auth, status: .init(5, 7, 8), text: "x", reason: .authenticationFailed),
        Failure(.permanent, .recipient, .rcpt, status: .init(5, 1, 1), text: "x", reason: .recipientRefused),
        Failure(.transient, .recipient, .rcpt, status: .init(4, 7, 1), text: "x", reason: .recipientDeferred),
    ]
    var board = BreakerBoard(policy: .init())
    _ = board.trip(.init(provider: "gmail"), by: failures[1], untilChanged: true, at: SampleQueue.moment)
    Benchmark("chain decision: judge four failures, ask four breakers", configuration: quick()) { benchmark in
        for _ in benchmark.scaledIterations {
            for failure in failures {
                blackHole(chain.judge(failure, deferredFor: .seconds(1)))
            }
            for provider in chain.providers {
                blackHole(board.permit(provider, from: "example.org", to: "gmail.com", at: SampleQueue.moment))
            }
        }
    }
}
