import DNSResolver
import Delivery
import HTTPTransport
import Logging
import MailModel
import NIOPosix
import SMTPClient
import SQLiteStore

/// Runs all checks, side by side and each within its time, and makes a report.
package enum Doctor {
    /// When a check stops asking further questions.
    private static let patience = Duration.seconds(20)
    /// Where Postfix has its queue.
    private static let defaultSpool = "/var/spool/postfix"

    /// In the order of the table; those of the second list need what the first ones hear.
    private static let checks: [any DoctorCheck] = [
        MachineCheck(), ResolvConfCheck(), SourcesCheck(), LegsCheck(), LibraryCheck(), WaysOutCheck(), PortsCheck(),
        QueueCheck(),
    ]
    private static let laterChecks: [any DoctorCheck] = [IdentityCheck(), SenderCheck()]

    /// Checks a configuration without a running gateway, with resolver and clients of its own.
    package static func examine(_ configuration: GatewayConfiguration, _ options: DoctorOptions) async -> DoctorReport {
        let logger = Logger(label: "doctor") { _ in SwiftLogNoOpLogHandler() }
        let http = GatewayService.httpClient(configuration, logger: logger)
        let client = SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: logger)
        let resolver = ResolverFactory.chain(configuration.dns, http: http, archive: nil, logger: logger)
        let factory = ProviderFactory(
            hostname: configuration.hostname,
            ownAddresses: ResolverFactory.ownAddresses(),
            limits: configuration.limits,
            resolver: resolver,
            client: client,
            http: http,
            archive: WithoutArchive(),
            logger: logger
        )
        let (history, trouble) = self.history(configuration.dataDirectory)
        // What cannot be built was refused when the configuration was checked.
        let parts = Parts(
            configuration: configuration,
            resolver: resolver,
            providers: configuration.providers.compactMap { try? factory.provider($0) },
            history: history,
            storeTrouble: trouble
        )
        let report = await self.report(parts, options)
        history?.close()
        await client.shutDown()
        http.shutDown()
        return report
    }

    /// What the store remembers, or why it cannot be read; neither where there is no store.
    private static func history(_ directory: String) -> (HistoryReader?, String?) {
        do {
            return (try HistoryReader(directory: directory), nil)
        } catch {
            return (nil, error.kind == .missing ? nil : error.description)
        }
    }

    /// The parts of a gateway, running or not.
    struct Parts: Sendable {
        let configuration: GatewayConfiguration
        let resolver: ResolverChain
        let providers: [any Provider]
        let history: (any History)?
        /// Why there is no history although there is a store.
        var storeTrouble: String?
        var breakers: [(name: String, text: String)] = []
        /// Of the ways that are left alone and not listed, a line each provider.
        var otherBreakers: [String] = []
        var isRunning = false
        var failingSince: [String: Timestamp] = [:]
    }

    static func report(_ parts: Parts, _ options: DoctorOptions) async -> DoctorReport {
        let surroundings = await self.surroundings(parts, options)
        let first = await self.run(self.checks, surroundings)
        let later = await self.run(self.laterChecks, surroundings)
        // What waits stands last: it is what all the rest leads to.
        return DoctorReport((first.dropLast() + later + first.suffix(1)).flatMap { $0 })
    }

    private static func run(
        _ checks: [any DoctorCheck],
        _ surroundings: DoctorSurroundings
    ) async -> [[DoctorFinding]] {
        await withTaskGroup(of: (Int, [DoctorFinding]).self) { group in
            for (index, check) in checks.enumerated() {
                group.addTask { (index, await check.run(surroundings)) }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private static func surroundings(_ parts: Parts, _ options: DoctorOptions) async -> DoctorSurroundings {
        // The newest say where mail goes now; what waits and who sends is counted over all, where it is wanted.
        // A store that cannot be read is reported by the gateway itself; here it only has nothing to tell.
        let unfinished = (try? await parts.history?.messages(unfinishedOnly: true, limit: 1_000)) ?? []
        let recent = (try? await parts.history?.messages(unfinishedOnly: false, limit: 1_000)) ?? []
        let known = Set(recent.map(\.id))
        let messages = unfinished.filter { !known.contains($0.id) } + recent
        return DoctorSurroundings(
            configuration: parts.configuration,
            resolver: parts.resolver,
            providers: parts.providers,
            group: MultiThreadedEventLoopGroup.singleton,
            history: parts.history,
            storeTrouble: parts.storeTrouble,
            breakers: parts.breakers,
            otherBreakers: parts.otherBreakers,
            isRunning: parts.isRunning,
            isInBackground: options.isInBackground,
            failingSince: parts.failingSince,
            domain: options.domain ?? self.recentDomain(messages) ?? parts.configuration.doctor.testDomain,
            spool: options.spool ?? self.defaultSpool,
            now: .civil,
            deadline: .now + self.patience
        )
    }

    /// The domain that mail waits for, the newest first, else the one that it went to last; one that failed before others.
    ///
    /// Reports of ours say nothing of where mail goes, and a name without a dot is nobody's domain.
    static func recentDomain(_ messages: [MessageRecord]) -> String? {
        let sent = messages.filter { !$0.reversePath.isEmpty }.sorted { $0.arrivedAt > $1.arrivedAt }
        let recipients = sent.lazy.flatMap(\.recipients)
        let waiting = recipients.filter { $0.state == .waiting }.compactMap(self.domain).first
        let failed = sent.lazy.compactMap { message in
            message.recipients.sorted { $0.hasFailed && !$1.hasFailed }.lazy.compactMap(self.domain).first
        }
        return waiting ?? failed.first
    }

    private static func domain(of recipient: RecipientRecord) -> String? {
        let domain = recipient.mailbox.split(separator: "@").last.map { $0.lowercased() } ?? ""
        return !domain.hasPrefix("[") && DoctorOptions.isDomain(domain) ? domain : nil
    }
}

extension RecipientRecord {
    fileprivate var hasFailed: Bool {
        self.state == .bounced || self.state == .expired
    }
}
