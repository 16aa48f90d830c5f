import MailModel
import SMTPClient
import SMTPProtocol
import Synchronization

/// The memory of silent hosts that all attempts of one provider share.
final class SilenceMemory: Sendable {
    private let state: Mutex<Reachability>
    private let policy: Reachability.Policy

    init(policy: Reachability.Policy = .init()) {
        self.policy = policy
        self.state = Mutex(Reachability(policy: policy))
    }

    /// Divides addresses into at most `limit` that are to be tried, in their order, and those passed by, with what is known.
    func sift(
        _ addresses: [IPAddress],
        limit: Int
    ) -> (usable: [IPAddress], passed: [(address: IPAddress, why: Reachability.Advice)]) {
        let now = ContinuousClock.now
        return self.state.withLock { state in
            var usable: [IPAddress] = []
            var passed: [(IPAddress, Reachability.Advice)] = []
            for address in addresses where usable.count < limit {
                let advice = state.advice(on: address, at: now)
                if advice == .usable {
                    usable.append(address)
                } else {
                    passed.append((address, advice))
                }
            }
            return (usable, passed)
        }
    }

    /// Learns from a transfer which addresses answered and which kept silent.
    func learn(from report: TransferReport, for domain: String) {
        let silent = report.abandoned.filter { $0.cause == .silent }.map(\.endpoint.address)
        guard !silent.isEmpty || report.endpoint != nil else {
            return
        }
        let now = ContinuousClock.now
        let isMute = report.hostFailure.map { $0.stage == .greeting && $0.cause == .timeout } ?? false
        self.state.withLock { state in
            for address in silent {
                state.wasSilent(address, for: domain, at: now)
            }
            guard let address = report.endpoint?.address else {
                return
            }
            if isMute {
                state.wasSilent(address, for: domain, at: now)
            } else {
                state.answered(address)
            }
        }
    }

    func forget() {
        self.state.withLock { $0 = Reachability(policy: self.policy) }
    }
}
