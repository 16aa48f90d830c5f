import Delivery
import MailModel

extension GatewayConfiguration {
    /// What is in force, as YAML that could be used again once the secrets are put back.
    package var effectiveText: String {
        var lines = [
            "hostname: \(scalar(self.hostname))", "domain: \(scalar(self.domain))",
            "data-directory: \(scalar(self.dataDirectory))", "control-socket: \(scalar(self.controlSocket))",
            "shutdown-grace: \(configured(self.shutdownGrace))",
            "retention: \(configured(self.retention))",
            "retention-size: \(self.retentionSize.map(String.init) ?? "none")", "keep-content: \(self.keepsContent)",
            "", "listeners:",
        ]
        lines += self.listeners.flatMap(\.lines)
        lines += ["", "chain: [\(self.chain.joined(separator: ", "))]", "", "providers:"]
        lines += self.providers.flatMap(\.lines)
        lines += ["", "dns:"] + self.dns.lines
        lines += ["", "doctor:"] + self.doctor.lines
        lines += ["", "retry:"] + self.retry.lines
        lines += ["", "limits:"] + self.limits.lines
        lines += ["", "log:", "  format: \(self.log.format.rawValue)", "  level: \(self.log.level.rawValue)"]
        if !self.users.isEmpty {
            lines += ["", "users:"] + self.users.keys.sorted().map { "  \($0): # set" }
        }
        return lines.joined(separator: "\n")
    }
}

extension ListenerSettings {
    fileprivate var lines: [String] {
        var lines = [
            "  \(self.name):", "    address: \(list(self.addresses))",
            "    port: \(self.port)", "    tls: \(self.tls.rawValue)", "    auth: \(self.auth.rawValue)",
            "    auth-without-tls: \(self.authWithoutTLS)",
            "    allow: \(list(self.allowedNetworks))",
        ]
        if let certificateFile, let keyFile {
            lines += ["    certificate-file: \(scalar(certificateFile))", "    key-file: \(scalar(keyFile))"]
        }
        return lines
    }
}

extension ProviderSettings {
    fileprivate var lines: [String] {
        ["  \(self.name):"]
            + self.settings.map { "    \($0)" }
    }

    private var settings: [String] {
        switch self.kind {
        case .directMX(let direct):
            return [
                "kind: direct-mx", "port: \(direct.port)", "tls: \(direct.usesTLS ? "opportunistic" : "none")",
                "dane: \(direct.usesDANE)", "mta-sts: \(direct.usesMTASTS)",
                "allow-networks: \(list(direct.allowedNetworks))",
                "connect-timeout: \(configured(direct.connectTimeout))",
            ] + (direct.caFile.map { ["ca-file: \(scalar($0))"] } ?? [])
        case .smarthost(let host):
            return [
                "kind: \(host.isGmail ? "gmail" : "smarthost")", "host: \(scalar(host.host))", "port: \(host.port)",
                "tls: \(host.tls.rawValue)", "verify-certificate: \(host.verifiesCertificate)",
                "auth-without-tls: \(host.allowsClearTextLogin)", "connections: \(host.connections)",
                "connect-timeout: \(configured(host.connectTimeout))",
            ] + (host.tlsName.map { ["tls-name: \(scalar($0))"] } ?? [])
                + (host.caFile.map { ["ca-file: \(scalar($0))"] } ?? []) + host.login.lines
        case .sendgrid(let api):
            return ["kind: sendgrid", "sandbox: \(api.isTest)"] + api.lines
        case .mailgun(let api):
            return ["kind: mailgun", "test-mode: \(api.isTest)"] + (api.domain.map { ["domain: \(scalar($0))"] } ?? [])
                + api.lines
        }
    }
}

extension SmarthostSettings.Login {
    fileprivate var lines: [String] {
        switch self {
        case .none: []
        case .password(let username, let secret): ["username: \(scalar(username))", "password: # \(secret)"]
        case .token(let username, let file): ["username: \(scalar(username))", "token-file: \(scalar(file))"]
        }
    }
}

extension APISettings {
    fileprivate var lines: [String] {
        ["api-key: # \(self.key)", "region: \(self.isEuropean ? "eu" : "us")", "timeout: \(configured(self.timeout))"]
            + (self.baseURL.map { ["base-url: \(scalar($0))"] } ?? [])
    }
}

extension DNSSettings {
    fileprivate var lines: [String] {
        [
            "  sources: \(list(self.sources))", "  public-resolvers: \(self.usesPublicResolvers)",
            "  resolv-conf: \(scalar(self.resolvConf))",
            "  source-timeout: \(configured(self.sourceTimeout))",
            "  lookup-timeout: \(configured(self.lookupTimeout))", "  head-start: \(configured(self.headStart))",
            "  serve-stale: \(configured(self.serveStale))", "  believe-lone-negative: \(self.believesLoneNegative)",
            "  caution: \(self.isCautious)",
            "  trust-ad: \(list((self.trustsLoopback ? ["loopback"] : []) + self.trustedAddresses.map(\.description).sorted()))",
            "  ask-validators: \(self.askedValidators.rawValue)",
        ] + self.pins
    }

    private var pins: [String] {
        let hosts = self.hosts.sorted { $0.key < $1.key }
        return hosts.isEmpty ? [] : ["  hosts:"] + hosts.map { "    \(scalar($0.key)): \(list($0.value))" }
    }
}

extension DoctorSettings {
    fileprivate var lines: [String] {
        [
            "  test-domain: \(scalar(self.testDomain))", "  port-targets: \(list(self.portTargets))",
            "  public-address: \(list(self.publicAddresses))", "  dkim-selectors: \(list(self.dkimSelectors))",
            "  compare-libc: \(self.comparesLibrary)", "  watch: \(self.watches)",
        ]
    }
}

extension RetrySettings {
    fileprivate var lines: [String] {
        let times = [
            ("first-delay", self.firstDelay), ("max-delay", self.maximumDelay), ("outage-delay", self.outageDelay),
            ("ambiguous-delay", self.ambiguousDelay), ("fallback-after", self.fallbackAfter),
            ("expire-after", self.expireAfter), ("attempt-timeout", self.attemptTimeout),
            ("breaker-delay", self.breakerFirstDelay), ("breaker-max-delay", self.breakerMaximumDelay),
        ]
        return times.map { "  \($0.0): \(configured($0.1))" } + ["  on-ambiguous: \(self.onAmbiguous.rawValue)"]
    }
}

extension LimitSettings {
    fileprivate var lines: [String] {
        [
            "  message-size: \(self.messageSize)", "  recipients: \(self.recipients)",
            "  connections: \(self.connections)", "  connections-per-address: \(self.connectionsPerAddress)",
            "  memory: \(self.memory)", "  auth-failures: \(self.authFailures)",
            "  auth-block: \(configured(self.authBlock))", "  hello-timeout: \(configured(self.helloTimeout))",
            "  idle-timeout: \(configured(self.idleTimeout))", "  content-grace: \(configured(self.contentGrace))",
            "  concurrency: \(self.concurrency)", "  per-destination: \(self.perDestination)",
            "  per-destination-start: \(self.perDestinationStart)",
            "  allow-api-networks: \(list(self.apiNetworks))",
        ]
    }
}

/// A text as a YAML scalar, quoted unless it can only be read as itself.
private func scalar(_ text: String) -> String {
    let isPlain =
        text.first.map { $0.isLetter && $0.isASCII || $0 == "/" } == true
        && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"\"'#,[]{}&*!|>%`\\".utf8.contains($0) }
        && !text.hasSuffix(":")
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(text.lowercased())
    let escaped = text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
    return isPlain ? text : "\"\(escaped)\""
}

private func list(_ values: [some CustomStringConvertible]) -> String {
    "[\(values.map { "\"\($0)\"" }.joined(separator: ", "))]"
}

/// A duration in the largest unit that leaves it whole.
private func configured(_ duration: Duration) -> String {
    let milliseconds = duration.wholeMilliseconds
    let units: [(Int64, String)] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
    for (unit, name) in units where milliseconds >= unit && milliseconds % unit == 0 {
        return "\(milliseconds / unit)\(name)"
    }
    return "\(milliseconds)ms"
}
