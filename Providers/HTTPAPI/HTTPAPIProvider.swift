package import DNSProtocol
package import Delivery
package import HTTPTransport
package import Logging
package import MailModel
import MessageFormat

/// A way out through the HTTP API of a mail service.
///
/// Resolves the service's host by the gateway's own resolver, so that a dead system resolver does not take the fallback
/// down with it, and makes as many calls as the service needs for the recipients.
package struct HTTPAPIProvider: Provider {
    /// Calls that may follow when recipients were refused, in all of an attempt.
    package static let followUpLimit = 64

    package let name: String
    package var grouping: RecipientGrouping { .together }
    package var carriesNullReversePath: Bool { false }

    let service: any HTTPMailService
    private let resolver: any Resolver
    let client: any HTTPClient
    let logger: Logger
    let now: @Sendable () -> Timestamp

    /// Makes a provider of a service.
    ///
    /// - Parameters:
    ///   - name: The operator's name for it.
    ///   - service: How the service is spoken to, such as `SendGridService`.
    ///   - resolver: Resolves the service's host.
    ///   - client: Makes the requests.
    ///   - logger: Gets a line for each failed call.
    ///   - now: The wall clock, for waits that a service tells as a moment.
    package init(
        name: String,
        service: any HTTPMailService,
        resolver: any Resolver,
        client: any HTTPClient,
        logger: Logger,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.name = name
        self.service = service
        self.resolver = resolver
        self.client = client
        self.logger = logger
        self.now = now
    }

    package func attempt(
        _ message: QueuedMessage,
        to recipients: [Recipient],
        deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> AttemptReport {
        // A payload takes long to compose: not on the thread of an event loop, where the caller may be.
        await withTaskExecutorPreference(globalConcurrentExecutor) {
            await self.composeAndCall(message, to: recipients, deadline: deadline, beforeCommit: beforeCommit)
        }
    }

    private func composeAndCall(
        _ message: QueuedMessage,
        to recipients: [Recipient],
        deadline: ContinuousClock.Instant,
        beforeCommit: @escaping @Sendable () async throws -> Void
    ) async -> AttemptReport {
        var evidence = AttemptEvidence(remoteHost: self.service.endpoint.host)
        var known: [Recipient.Number: Outcome] = [:]
        do throws(Failure) {
            guard !message.parameters.requireTLS else {
                throw TransportFailures.requireTLSNotSupported(self.service.endpoint.host)
            }
            let reader = ContentReader(
                needsWholeContent: self.service.needsWholeContent,
                sizeLimit: self.service.sizeLimit
            )
            let mail = try await reader.read(message)
            var composition = try self.service.compose(mail, to: recipients)
            let addresses = composition.calls.isEmpty ? [] : try await self.resolve(&evidence)
            known = await self.lookUp(mail, for: recipients, at: addresses, until: deadline)
            let rest = recipients.filter { known[$0.number] == nil }
            if !known.isEmpty {
                composition = rest.isEmpty ? Composition(calls: []) : try self.service.compose(mail, to: rest)
            }
            evidence.headerRewritten = composition.headerRewritten
            guard deadline > .now else {
                throw TransportFailures.outOfTime(.connect)
            }
            guard !Task.isCancelled else {
                throw TransportFailures.interrupted
            }
            if !composition.calls.isEmpty {
                try await record(beforeCommit)
            }
            var run = CallSequence(provider: self, mail: mail, addresses: addresses, deadline: deadline)
            run.evidence = evidence
            var report = await run.carryOut(composition, for: rest)
            report.outcomes.merge(known) { outcome, _ in outcome }
            return report
        } catch {
            self.log(error, message.id)
            var report = AttemptReport(failure: error, for: recipients, evidence: evidence)
            report.outcomes.merge(known) { $1 }
            return report
        }
    }

    private func record(_ beforeCommit: @Sendable () async throws -> Void) async throws(Failure) {
        do {
            try await beforeCommit()
        } catch {
            throw TransportFailures.notRecorded
        }
    }

    func resolve(_ evidence: inout AttemptEvidence) async throws(Failure) -> [IPAddress] {
        let host = self.service.endpoint.host
        if let address = IPAddress(host) {
            return [address]
        }
        let start = ContinuousClock.now
        let resolution = await self.resolver.addresses(of: host)
        evidence.timings.append(.init(stage: .resolve, milliseconds: (.now - start).wholeMilliseconds))
        evidence.resolution = resolution.observations.map(\.description)
        if let age = resolution.staleAge {
            evidence.resolution.append("\(host): last good answer from the store, \(age.components.seconds) s old")
        }
        guard case .records(let addresses, _) = resolution.lookup, !addresses.isEmpty else {
            throw TransportFailures.unresolved(host, resolution.lookup)
        }
        return addresses
    }

    func log(_ failure: Failure, _ id: QueueID) {
        // A payload that the service does not understand is a mistake of ours, which somebody should see.
        let isOurs = failure.stage == .commit && failure.reason == .notSupported
        self.logger.log(
            level: isOurs ? .error : .info,
            "the mail API did not take the message",
            metadata: [
                "queue-id": "\(id)", "provider": "\(self.name)", "status": "\(failure.status)",
                "reason": "\(failure.reason.rawValue)",
            ]
        )
    }
}
