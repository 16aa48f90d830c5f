package import DNSProtocol
package import Delivery
package import Logging
import MailModel
package import SMTPClient
import SMTPProtocol

/// Delivers straight to the mail exchangers of the recipients' domains (RFC 5321 §5).
package struct DirectMXProvider: Provider {
    package let name: String
    package let grouping = RecipientGrouping.byDomain
    private let configuration: DirectMXConfiguration
    private let resolver: any Resolver
    private let client: SMTPClient
    private let logger: Logger
    private let memory = SilenceMemory()

    package init(
        name: String,
        configuration: DirectMXConfiguration,
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
        let gate = CommitGate(beforeCommit)
        var report = AttemptReport(outcomes: [:])
        let domains = Dictionary(grouping: recipients) { $0.mailbox.domain }
        for (domain, recipients) in domains {
            var delivery = DomainDelivery(
                domain: domain,
                message: message,
                recipients: recipients,
                configuration: self.configuration,
                resolver: self.resolver,
                client: self.client,
                memory: self.memory,
                deadline: deadline,
                gate: gate,
                evidence: report.evidence
            )
            await delivery.run()
            report.outcomes.merge(delivery.outcomes) { first, _ in first }
            report.evidence = delivery.evidence
        }
        return report
    }

    /// Forgets which hosts were silent.
    package func forget() {
        self.memory.forget()
    }
}
