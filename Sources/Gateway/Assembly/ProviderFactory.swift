import DNSProtocol
import Delivery
import DirectMX
import HTTPAPI
import HTTPTransport
import Logging
import MailModel
import SMTPClient
import SMTPProtocol
import Smarthost

/// Builds the ways out from their settings.
struct ProviderFactory {
    let hostname: String
    let ownAddresses: Set<IPAddress>
    let limits: LimitSettings
    let resolver: any Resolver
    let client: SMTPClient
    let http: any HTTPClient
    let archive: any SecurityArchive
    let logger: Logger

    func provider(_ settings: ProviderSettings) throws -> any Provider {
        switch settings.kind {
        case .directMX(let direct): self.direct(settings.name, direct)
        case .smarthost(let smarthost): self.smarthost(settings.name, smarthost)
        case .sendgrid(let api): try self.sendgrid(settings.name, api)
        case .mailgun(let api): try self.mailgun(settings.name, api)
        }
    }

    private func direct(_ name: String, _ settings: DirectSettings) -> any Provider {
        var configuration = DirectMXConfiguration(heloName: self.hostname)
        configuration.port = settings.port
        configuration.tls = settings.usesTLS ? .opportunistic : .none
        configuration.addressFilter = AddressFilter(allowed: settings.allowedNetworks, own: self.ownAddresses)
        configuration.timeouts.connect = settings.connectTimeout
        configuration.limits.connections = self.limits.perDestination
        configuration.trustRootsFile = settings.caFile
        configuration.security = self.security(settings)
        return DirectMXProvider(
            name: name,
            configuration: configuration,
            resolver: self.resolver,
            client: self.client,
            logger: self.logger
        )
    }

    private func security(_ settings: DirectSettings) -> TransportSecurity {
        let now = { @Sendable in Timestamp.now }
        let policies = settings.usesMTASTS && settings.usesTLS
        return TransportSecurity(
            usesDANE: settings.usesDANE,
            policies: policies
                ? MTASTSPolicies(resolver: self.resolver, client: self.http, archive: self.archive, now: now) : nil,
            clearText: ClearTextMemory(archive: self.archive, now: now),
            archive: self.archive,
            now: now
        )
    }

    private func smarthost(_ name: String, _ settings: SmarthostSettings) -> any Provider {
        let credentials = self.credentials(settings.login)
        var configuration =
            credentials.flatMap { settings.isGmail ? .gmail(credentials: $0, heloName: self.hostname) : nil }
            ?? SmarthostConfiguration(host: settings.host, credentials: credentials, heloName: self.hostname)
        configuration.host = settings.host
        configuration.port = settings.port
        configuration.tls = self.policy(settings)
        configuration.tlsName = settings.tlsName
        configuration.trustRootsFile = settings.caFile
        configuration.allowsClearTextLogin = settings.allowsClearTextLogin
        configuration.timeouts.connect = settings.connectTimeout
        configuration.limits.connections = settings.connections
        return SmarthostProvider(
            name: name,
            configuration: configuration,
            resolver: self.resolver,
            client: self.client,
            logger: self.logger
        )
    }

    private func policy(_ settings: SmarthostSettings) -> TLSPolicy {
        let verification: TLSPolicy.TLSVerification = settings.verifiesCertificate ? .verified : .unverified
        switch settings.tls {
        case .none: return .none
        case .starttls: return .required(.startTLS, verification)
        case .implicit: return .required(.implicit, verification)
        }
    }

    private func credentials(_ login: SmarthostSettings.Login) -> SMTPCredentials? {
        switch login {
        case .none: nil
        case .password(let username, let secret): SMTPCredentials(username: username, password: secret.value)
        case .token(let username, let file): SMTPCredentials(username: username, file: file, mechanisms: [.xoauth2])
        }
    }

    private func sendgrid(_ name: String, _ settings: APISettings) throws -> any Provider {
        let configuration = SendGridConfiguration(
            key: APIKey(settings.key.value),
            region: settings.isEuropean ? .eu : .global,
            endpoint: try self.endpoint(name, settings),
            isSandbox: settings.isTest,
            timeout: settings.timeout
        )
        return try self.api(name, SendGridService(configuration))
    }

    private func mailgun(_ name: String, _ settings: APISettings) throws -> any Provider {
        let configuration = MailgunConfiguration(
            key: APIKey(settings.key.value),
            domain: settings.domain,
            region: settings.isEuropean ? .eu : .us,
            endpoint: try self.endpoint(name, settings),
            isTestMode: settings.isTest,
            timeout: settings.timeout
        )
        return try self.api(name, MailgunService(configuration))
    }

    /// Where a service is called: the operator's URL, else that of its region; nil when the URL cannot be read.
    static func endpoint(of kind: ProviderSettings.Kind, _ settings: APISettings) -> Endpoint? {
        if let url = settings.baseURL {
            return Endpoint(url)
        }
        switch kind {
        case .sendgrid:
            let region: SendGridConfiguration.Region = settings.isEuropean ? .eu : .global
            return SendGridService(SendGridConfiguration(key: APIKey(""), region: region))?.endpoint
        case .mailgun:
            let region: MailgunConfiguration.Region = settings.isEuropean ? .eu : .us
            return MailgunService(MailgunConfiguration(key: APIKey(""), region: region))?.endpoint
        case .directMX, .smarthost:
            return nil
        }
    }

    private func endpoint(_ name: String, _ settings: APISettings) throws -> Endpoint? {
        guard let url = settings.baseURL else {
            return nil
        }
        guard let endpoint = Endpoint(url) else {
            throw StartupFailure(
                "providers.\(name).base-url: expected https://host or https://host:port, found \"\(url)\""
            )
        }
        return endpoint
    }

    private func api(_ name: String, _ service: (any HTTPMailService)?) throws -> any Provider {
        guard let service else {
            throw StartupFailure("providers.\(name): its base URL cannot be used")
        }
        return HTTPAPIProvider(
            name: name,
            service: service,
            resolver: self.resolver,
            client: self.http,
            logger: self.logger,
            now: { .now }
        )
    }
}
