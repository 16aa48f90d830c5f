package import DNSProtocol
package import Delivery
package import Logging
import MailModel
package import SMTPClient
import SMTPProtocol

/// Hands all mail to one relay, which delivers it on (a smarthost, RFC 5321 §2.3.10 "relay").
package struct SmarthostProvider: Provider {
    package let name: String
    package let grouping = RecipientGrouping.together
    let configuration: SmarthostConfiguration
    private let resolver: any Resolver
    let client: SMTPClient
    private let logger: Logger

    package init(
        name: String,
        configuration: SmarthostConfiguration,
        resolver: any Resolver,
        client: SMTPClient,
        logger: Logger
    ) {
        self.name = name
        self.configuration = configuration
        self.resolver = resolver
        self.client = client
        self.logger = logger
    }

    package func attempt(
        _ message: QueuedMessage,
        to recipients: [Recipient],
        deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> AttemptReport {
        var evidence = AttemptEvidence(remoteHost: self.configuration.host)
        if let limit = self.configuration.sizeLimit, message.content.size > limit {
            let failure = FailureTable.tooLarge(self.configuration.host, limit: limit)
            return AttemptReport(failure: failure, for: recipients, evidence: evidence)
        }
        let addresses: [IPAddress]
        switch await self.addresses(evidence: &evidence) {
        case .success(let found): addresses = found
        case .failure(let failure): return AttemptReport(failure: failure, for: recipients, evidence: evidence)
        }
        let mail = MailTransaction(
            reversePath: message.reversePath,
            parameters: message.parameters,
            forwardPaths: recipients.map(\.forwardPath),
            size: message.content.size,
            isEightBit: message.content.isEightBit
        ).inASCIIWherePossible
        let report = await self.client.deliver(
            mail,
            content: message.content,
            over: self.hop(to: addresses),
            until: deadline,
            beforeCommit: beforeCommit
        )
        report.add(to: &evidence)
        return AttemptReport(outcomes: self.outcomes(of: recipients, in: report), evidence: evidence)
    }

    private func outcomes(of recipients: [Recipient], in report: TransferReport) -> [Recipient.Number: Outcome] {
        let host = report.endpoint?.description ?? self.configuration.host
        let outcomes = zip(recipients, report.results).map { recipient, result in
            switch result {
            case .accepted(let reply):
                (recipient.number, Outcome.delivered(Acceptance(reply: reply)))
            case .failed(let failure):
                (recipient.number, Outcome.failed(FailureTable.failure(failure, host: host)))
            }
        }
        return Dictionary(outcomes) { first, _ in first }
    }

    func hop(to addresses: [IPAddress]) -> NextHop {
        var hop = NextHop(
            host: self.configuration.tlsName ?? self.configuration.host,
            port: self.configuration.port,
            addresses: addresses,
            tls: self.configuration.tls,
            heloName: self.configuration.heloName
        )
        hop.trustRootsFile = self.configuration.trustRootsFile
        hop.credentials = self.configuration.credentials
        hop.allowsClearTextLogin = self.configuration.allowsClearTextLogin
        hop.timeouts = self.configuration.timeouts
        hop.limits = self.configuration.limits
        return hop
    }

    /// The relay's addresses; none of them is forbidden, since the operator named the host himself.
    func addresses(evidence: inout AttemptEvidence) async -> Result<[IPAddress], Failure> {
        let host = self.configuration.host
        if let literal = IPAddress(host) {
            return .success([literal])
        }
        let began = ContinuousClock.now
        let resolution = await self.resolver.addresses(of: host)
        evidence.note(resolution, since: began)
        switch resolution.lookup {
        case .records(let addresses, timeToLive: _) where !addresses.isEmpty:
            let first = addresses.filter { !$0.isIPv6 }
            return .success(Array((first.prefix(3) + addresses.filter(\.isIPv6).prefix(2))))
        case .records, .noData, .noSuchName:
            return .failure(FailureTable.noAddress(host))
        case .unavailable(let why):
            return .failure(FailureTable.unavailable(why))
        }
    }
}
