import FoundationEssentials
import Logging
import MailModel
import NIOCore
import NIOPosix
import NIOSSL
import SMTPProtocol
import SMTPServer

/// Builds the listeners, their certificates and who may log in.
struct ListenerFactory {
    let configuration: GatewayConfiguration
    let group: any EventLoopGroup
    let pool: NIOThreadPool
    let sink: any SubmissionSink
    let logger: Logger

    func listeners() throws -> [SMTPListener] {
        let limits = self.configuration.limits
        let bounds = SharedBounds(
            memory: MemoryBudget(limit: limits.memory),
            guesses: AuthenticationLedger(limit: limits.authFailures, duration: limits.authBlock)
        )
        let connections = try self.connections()
        let authenticator = try self.authenticator()
        return try self.configuration.listeners.flatMap { settings in
            let context = settings.tls == .none ? nil : try self.context(settings)
            return settings.addresses.map { address in
                SMTPListener(
                    configuration: self.listener(settings, at: address, connections: connections),
                    group: self.group,
                    tls: { context },
                    sink: self.sink,
                    authenticator: authenticator,
                    clock: { .civil },
                    logger: self.logger.labelled("smtp"),
                    bounds: bounds,
                    pool: self.pool
                )
            }
        }
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

    private func context(_ settings: ListenerSettings) throws -> NIOSSLContext {
        let files: SelfSignedCertificate.Files
        if let certificate = settings.certificateFile, let key = settings.keyFile {
            files = .init(certificate: certificate, key: key)
        } else {
            files = try SelfSignedCertificate.files(
                in: "\(self.configuration.dataDirectory)/tls",
                hostname: self.configuration.hostname
            )
            self.logger.notice(
                "listener \(settings.name) uses a self-signed certificate; set certificate-file and key-file"
            )
        }
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(files.certificate).map(NIOSSLCertificateSource.certificate)
            let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
            var tls = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
            tls.minimumTLSVersion = .tlsv12
            return try NIOSSLContext(configuration: tls)
        } catch {
            throw StartupFailure(
                "listeners.\(settings.name): the certificate \(files.certificate) with the key \(files.key) cannot be used: \(error)"
            )
        }
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
