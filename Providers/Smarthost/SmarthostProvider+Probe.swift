package import Delivery
import SMTPClient

extension SmarthostProvider {
    package func probe(until deadline: ContinuousClock.Instant) async -> ProviderProbe? {
        var evidence = AttemptEvidence(remoteHost: self.configuration.host)
        let host = "\(self.configuration.host):\(self.configuration.port)"
        switch await self.addresses(evidence: &evidence) {
        case .failure(let failure):
            return ProviderProbe(host: host, text: failure.text, failure: failure)
        case .success(let addresses):
            let report = await self.client.probe(self.hop(to: addresses), until: deadline)
            let named = report.endpoint?.description ?? host
            if let cause = report.failure {
                let failure = FailureTable.failure(cause, host: named)
                return ProviderProbe(host: named, text: failure.text, failure: failure)
            }
            let login = report.mechanism.map { "logged in with AUTH \($0)" } ?? "no login is configured"
            return ProviderProbe(host: named, text: "\(report.tls ?? "clear text"), \(login)")
        }
    }
}
