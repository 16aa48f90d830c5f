package import Delivery
import HTTPTransport
import MailModel

extension HTTPAPIProvider {
    package func probe(until deadline: ContinuousClock.Instant) async -> ProviderProbe? {
        var evidence = AttemptEvidence(remoteHost: self.service.endpoint.host)
        let host = "\(self.service.endpoint.host):\(self.service.endpoint.port ?? 443)"
        let addresses: [IPAddress]
        do throws(Failure) {
            addresses = try await self.resolve(&evidence)
        } catch {
            return ProviderProbe(host: host, text: error.text, failure: error)
        }
        var request = self.service.probe
        request.timeout = max(.milliseconds(1), min(request.timeout, deadline - .now))
        do throws(HTTPFailure) {
            var probe = self.probe(try await self.client.send(request, addresses: addresses), host: host)
            if probe.failure == nil {
                probe.quota = await self.quota(of: addresses, until: deadline)
            }
            return probe
        } catch {
            let failure = TransportFailures.failure(error, secrets: self.service.secrets)
            return ProviderProbe(host: host, text: failure.text, failure: failure)
        }
    }

    /// What may still be sent; that nobody tells is no failure of the way.
    private func quota(of addresses: [IPAddress], until deadline: ContinuousClock.Instant) async -> ProviderQuota? {
        guard var request = self.service.quotaRequest else {
            return nil
        }
        request.timeout = max(.milliseconds(1), min(request.timeout, deadline - .now))
        do throws(HTTPFailure) {
            return self.service.quota(in: try await self.client.send(request, addresses: addresses))
        } catch {
            return .untold(TransportFailures.failure(error, secrets: self.service.secrets).text)
        }
    }

    private func probe(_ response: HTTPResponse, host: String) -> ProviderProbe {
        let date = response.headers.first { $0.name.lowercased() == "date" }.flatMap { HTTPDate.find(in: $0.value) }
        switch self.service.keyVerdict(on: response) {
        case .accepted(let text), .unproven(let text):
            return ProviderProbe(host: host, text: text, serverTime: date)
        case .refused(let text):
            let failure = Failure(
                .permanent,
                .provider,
                .auth,
                status: .init(5, 7, 8),
                text: text,
                reason: .authenticationFailed
            )
            return ProviderProbe(host: host, text: text, failure: failure, serverTime: date)
        }
    }
}
