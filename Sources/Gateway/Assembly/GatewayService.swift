import DNSProtocol
import DNSResolver
import Delivery
import HTTPTransport
package import Logging
import MailModel
import NIOCore
import NIOPosix
import NIOSSL
import SMTPClient
import SMTPServer
import SQLiteStore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The whole gateway: built from a configuration, run until it is told to stop.
package final class GatewayService: Sendable {
    let configuration: GatewayConfiguration
    let logger: Logger
    let group: MultiThreadedEventLoopGroup
    let store: MessageStore
    let resolver: ResolverChain
    let providers: [any Provider]
    let queue: QueueManager
    let listeners: [SMTPListener]
    private let certificates: [ListenerCertificate]
    /// What the watch over lookups has seen.
    let watchBoard = DoctorWatchBoard()
    /// For messages of other queues, through the control socket.
    let intake: TakeOverIntake
    private let client: SMTPClient
    private let http: CurlClient
    private let blockingPool: NIOThreadPool

    /// The version that greetings of HTTP requests and `hikyaku version` carry.
    package static let version = "0.1.0"

    /// Builds everything and opens the store; no socket is open yet.
    package init(_ configuration: GatewayConfiguration, logger: Logger) async throws {
        self.configuration = configuration
        self.logger = logger
        self.group = MultiThreadedEventLoopGroup.singleton
        self.blockingPool = NIOThreadPool.singleton
        var stored = MessageStore.Configuration(directory: configuration.dataDirectory)
        stored.keepContent = configuration.keepsContent
        stored.clock = { StoreTime(steady: .now, civil: .civil) }
        let trigger = try CrashTrigger(SystemEnvironment.current)
        if let trigger {
            logger.warning("this process will kill itself", metadata: ["at": "\(trigger.point.rawValue)"])
            stored.beforeSync = { trigger.reach(.afterWriteBeforeSync) }
        }
        let opened = try MessageStore.open(stored, logger: logger.labelled("store"))
        self.store = opened
        self.http = Self.httpClient(configuration, logger: logger.labelled("http"))
        self.client = SMTPClient(group: self.group, logger: logger.labelled("smtp-client"))
        self.resolver = ResolverFactory.chain(
            configuration.dns,
            http: self.http,
            archive: self.store,
            logger: logger.labelled("dns")
        )
        let factory = ProviderFactory(
            hostname: configuration.hostname,
            ownAddresses: ResolverFactory.ownAddresses(),
            limits: configuration.limits,
            resolver: self.resolver,
            client: self.client,
            http: self.http,
            archive: self.store,
            logger: logger.labelled("delivery")
        )
        let queueIDs = QueueIDSource(after: try await self.store.lastQueueID())
        self.providers = try configuration.providers.map(factory.provider)
        let store: any Store = trigger.map { CrashingStore(store: opened, trigger: $0) } ?? opened
        self.queue = try await Self.queue(configuration, self.providers, store, queueIDs, logger)
        self.intake = TakeOverIntake(
            hostname: configuration.hostname,
            expireAfter: configuration.retry.expireAfter,
            queueIDs: queueIDs,
            store: self.store,
            pool: self.blockingPool,
            logger: logger.labelled("take-over")
        )
        let intake = SubmissionIntake(
            hostname: configuration.hostname,
            expireAfter: configuration.retry.expireAfter,
            queueIDs: queueIDs,
            store: self.store,
            queue: self.queue
        )
        (self.listeners, self.certificates) = try ListenerFactory(
            configuration: configuration,
            group: self.group,
            pool: self.blockingPool,
            sink: trigger.map { CrashingIntake(intake: intake, trigger: $0) } ?? intake,
            logger: logger
        ).listeners()
    }

    private static func queue(
        _ configuration: GatewayConfiguration,
        _ providers: [any Provider],
        _ store: any Store,
        _ queueIDs: QueueIDSource,
        _ logger: Logger
    ) async throws -> QueueManager {
        let retry = configuration.retry
        let desk = ReportDesk(
            hostname: configuration.hostname,
            queueIDs: queueIDs,
            expireAfter: retry.expireAfter
        )
        return QueueManager(
            configuration: .init(
                concurrency: configuration.limits.concurrency,
                pace: Pace.Policy(
                    start: configuration.limits.perDestinationStart,
                    maximum: configuration.limits.perDestination
                ),
                attemptTimeout: retry.attemptTimeout
            ),
            chain: StrategyChain(
                providers: configuration.chain,
                fallbackAfter: retry.fallbackAfter,
                onAmbiguous: retry.onAmbiguous
            ),
            providers: providers,
            schedule: RetrySchedule(
                firstDelay: retry.firstDelay,
                maximumDelay: retry.maximumDelay,
                outageDelay: retry.outageDelay,
                ambiguousDelay: retry.ambiguousDelay
            ),
            breakers: BreakerBoard(
                policy: .init(firstDelay: retry.breakerFirstDelay, maximumDelay: retry.breakerMaximumDelay),
                remembered: try await store.breakers().filter { configuration.chain.contains($0.key.provider) }
            ),
            store: store,
            clock: SystemClock(),
            events: DeliveryLog(logger: logger.labelled("delivery")),
            composeBounce: { message, failed, evidence in
                desk.report(on: message, failed: failed, evidence: evidence)
            },
            executors: MultiThreadedEventLoopGroup.singleton.executors
        )
    }

    /// Accepts and delivers until `untilStopped` returns, then parks what cannot finish within the grace period.
    package func run(untilStopped: @escaping @Sendable () async -> Void) async throws {
        let control: ControlServer?
        do {
            try await self.listen()
            control = try await ControlServer.start(self)
        } catch {
            await self.stop()
            await self.release()
            throw error
        }
        self.announce()
        await withDiscardingTaskGroup { group in
            group.addTask {
                await self.resolver.prepare()
                // Throws only when cancelled, which is how it ends.
                try? await self.queue.run()
            }
            group.addTask { await self.keepHouse() }
            group.addTask { await self.resolver.run { await self.dnsIsBack() } }
            group.addTask { await DoctorWatch(self).run() }
            await untilStopped()
            await control?.stop()
            await self.stop()
            group.cancelAll()
        }
        await self.release()
        self.logger.notice("stopped")
    }

    /// Forgets what DNS said, reads certificates again and looks at the queue; what an operator wants of SIGHUP after
    /// mending the network or renewing a certificate.
    package func lookAgain() {
        self.resolver.flush()
        for certificate in self.certificates {
            certificate.readAgain()
        }
        self.queue.lookAgain()
        self.logger.notice(
            """
            SIGHUP: DNS is asked afresh, certificates are looked at again; the configuration is read at start only, restart to \
            change it
            """
        )
    }

    /// Ways that were left alone only because their names could not be resolved are used at once, and what waits for them goes.
    private func dnsIsBack() async {
        let left = self.queue.openBreakers.filter { $0.value.reason == .dnsUnavailable }.keys
        self.logger.notice("DNS answers again", metadata: ["resumed": "\(left.count)"])
        do {
            for key in left {
                _ = try await self.queue.closeBreaker(key)
            }
        } catch {
            self.logger.warning("what waits for DNS could not be released", metadata: ["why": "\(error)"])
        }
        self.queue.lookAgain()
    }

    private func listen() async throws {
        for listener in self.listeners {
            do {
                try await listener.start()
            } catch let error as IOError where error.errnoCode == EAFNOSUPPORT && self.canDoWithout(listener) {
                self.logger.warning(
                    "this system has no IPv6, and the listener goes without it",
                    metadata: ["listener": "\(listener.configuration.name)"]
                )
            } catch {
                let settings = listener.configuration
                let why = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
                throw StartupFailure(
                    "listeners.\(settings.name): cannot listen on \(settings.host) port \(settings.port): \(why)"
                )
            }
        }
    }

    /// Whether a listener stands for all of IPv6, beside one of the same name for IPv4.
    private func canDoWithout(_ listener: SMTPListener) -> Bool {
        let settings = listener.configuration
        return settings.host == "::"
            && self.listeners.contains { $0.configuration.name == settings.name && $0.configuration.host != "::" }
    }

    private func release() async {
        await self.client.shutDown()
        self.http.shutDown()
        await self.store.close()
    }

    /// Stops accepting; sessions past the dot and attempts that run may end.
    private func stop() async {
        self.logger.notice("stopping", metadata: ["grace": "\(self.configuration.shutdownGrace)"])
        self.queue.stop()
        let grace = self.configuration.shutdownGrace
        await withDiscardingTaskGroup { group in
            for listener in self.listeners {
                group.addTask { await listener.shutdown(grace: grace) }
            }
            group.addTask { await self.waitForAttempts(grace) }
        }
    }

    private func waitForAttempts(_ grace: Duration) async {
        let end = ContinuousClock.now + grace
        while self.queue.unfinishedCount > 0, ContinuousClock.now < end {
            guard (try? await Task.sleep(for: .milliseconds(20))) != nil else {
                return
            }
        }
    }

    private func announce() {
        for listener in self.listeners {
            self.logger.notice("listening", metadata: ["address": "\(listener.boundTo ?? "?")"])
        }
        self.logger.notice(
            "ready",
            metadata: [
                "version": "\(Self.version)", "configuration": "\(self.configuration.source)",
                "hostname": "\(self.configuration.hostname)",
                "chain": "\(self.configuration.chain.joined(separator: ", "))",
                "data": "\(self.configuration.dataDirectory)", "durability": "\(self.store.durability)",
            ]
        )
    }
}

extension Logger {
    /// The same output under the name of another part.
    func labelled(_ label: String) -> Logger {
        var logger = self
        logger[metadataKey: "part"] = "\(label)"
        return logger
    }
}

extension GatewayService {
    /// The client for HTTP APIs and DNS over HTTPS.
    static func httpClient(_ configuration: GatewayConfiguration, logger: Logger) -> CurlClient {
        CurlClient(
            configuration: .init(
                userAgent: "Hikyaku/\(Self.version)",
                trustRootsFile: ResolverFactory.trustRootsFile,
                allowedNetworks: configuration.limits.apiNetworks + Self.networksOfSources(configuration.dns)
            ),
            logger: logger
        )
    }

    /// The addresses of DNS over HTTPS sources: the operator wrote them down, so they may be connected to wherever they are.
    private static func networksOfSources(_ settings: DNSSettings) -> [CIDRBlock] {
        settings.sources.compactMap { source in
            guard case .https(_, let address, _, _) = source else {
                return nil
            }
            return CIDRBlock(address, prefixLength: address.isIPv6 ? 128 : 32)
        }
    }
}
