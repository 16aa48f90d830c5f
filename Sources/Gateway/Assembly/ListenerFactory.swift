import FoundationEssentials
import Logging
import MailModel
import NIOCore
import NIOPosix
import SMTPProtocol
import SMTPServer

/// Builds the listeners, their certificates and who may log in.
struct ListenerFactory {
    let configuration: GatewayConfiguration
    let group: any EventLoopGroup
    let pool: NIOThreadPool
    let sink: any SubmissionSink
    let logger: Logger

    /// The listeners, and the certificates that they show.
    func listeners() throws -> (listeners: [SMTPListener], certificates: [ListenerCertificate]) {
        let limits = self.configuration.limits
        let bounds = SharedBounds(
            memory: MemoryBudget(limit: limits.memory),
            guesses: AuthenticationLedger(limit: limits.authFailures, duration: limits.authBlock)
        )
        let connections = try self.connections()
        let authenticator = try self.authenticator()
        var certificates: [ListenerCertificate] = []
        let listeners = try self.configuration.listeners.flatMap { settings in
            let certificate = settings.tls == .none ? nil : try self.certificate(settings)
            certificates += certificate.map { [$0] } ?? []
            return settings.addresses.map { address in
                SMTPListener(
                    configuration: self.listener(settings, at: address, connections: connections),
                    group: self.group,
                    tls: { certificate?.context },
                    sink: self.sink,
                    authenticator: authenticator,
                    clock: { .civil },
                    logger: self.logger.labelled("smtp"),
                    bounds: bounds,
                    pool: self.pool
                )
            }
        }
        return (listeners, certificates)
    }

    private func certificate(_ settings: ListenerSettings) throws -> ListenerCertificate {
        try ListenerCertificate(
            settings,
            directory: self.configuration.dataDirectory,
            hostname: self.configuration.hostname,
            logger: self.logger
        )
    }

    /// Connections in all: what is configured, or what descriptors allow.
    private func connections() throws -> Int {
        let limits = self.configuration.limits
        let descriptors = DescriptorLimit.raised()
        guard let connections = descriptors.connections(limits.connections, besides: limits.concurrency) else {
            throw StartupFailure(
                "limits.concurrency: \(limits.concurrency) attempts need more than the \(descriptors.total) files that "
                    + "the process may open; raise that (ulimit -n, LimitNOFILE) or lower limits.concurrency"
            )
        }
        if connections < limits.connections {
            self.logger.warning(
                "fewer connections than configured, for want of file descriptors (ulimit -n, LimitNOFILE)",
                metadata: [
                    "connections": "\(connections)", "configured": "\(limits.connections)",
                    "descriptors": "\(descriptors.total)",
                ]
            )
        }
        return connections
    }

    private func authenticator() throws -> PasswordAuthenticator {
        var hashes: [String: PasswordHash] = [:]
        for (name, text) in self.configuration.users {
            guard let hash = PasswordHash(text) else {
                throw StartupFailure("users.\(name): not a hash made by `hikyaku hash-password`")
            }
            hashes[name] = hash
        }
        return try PasswordAuthenticator(users: hashes)
    }

    private func limits(connections: Int) -> ServerLimits {
        let configured = self.configuration.limits
        var limits = ServerLimits()
        limits.session.messageSize = configured.messageSize
        limits.session.recipients = configured.recipients
        limits.connections = connections
        limits.connectionsPerTrustedAddress = configured.connectionsPerAddress
        limits.firstCommandTimeout = configured.helloTimeout
        limits.commandTimeout = configured.idleTimeout
        limits.crowdedTimeout = min(configured.idleTimeout, configured.helloTimeout, limits.crowdedTimeout)
        limits.contentGrace = configured.contentGrace
        return limits
    }

    private func listener(
        _ settings: ListenerSettings,
        at address: String,
        connections: Int
    ) -> ListenerConfiguration {
        ListenerConfiguration(
            name: settings.name,
            host: address,
            port: settings.port,
            tlsMode: settings.tls.mode,
            authPolicy: settings.auth.policy,
            authWithoutTLS: settings.authWithoutTLS,
            allowedNetworks: settings.allowedNetworks,
            limits: self.limits(connections: connections),
            hostname: self.configuration.hostname,
            qualifyDomain: self.configuration.domain
        )
    }
}

extension ListenerSettings.TLSMode {
    fileprivate var mode: ListenerConfiguration.TLSMode {
        switch self {
        case .none: .none
        case .starttls: .starttls
        case .implicit: .implicit
        }
    }
}

extension ListenerSettings.AuthPolicy {
    fileprivate var policy: SessionPolicy.Authentication {
        switch self {
        case .none: .none
        case .optional: .optional
        case .required: .required
        }
    }
}
