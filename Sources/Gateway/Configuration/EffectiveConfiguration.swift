import Delivery
import MailModel

extension GatewayConfiguration {
    /// What is in force, as YAML that could be used again once the secrets are put back.
    package var effectiveText: String {
        var lines = [
            "hostname: \(self.hostname)", "domain: \(self.domain)", "data-directory: \(self.dataDirectory)",
            "control-socket: \(self.controlSocket)", "shutdown-grace: \(configured(self.shutdownGrace))",
            "retention: \(configured(self.retention))", "keep-content: \(self.keepsContent)", "", "listeners:",
        ]
        lines += self.listeners.flatMap(\.lines)
        lines += ["", "chain: [\(self.chain.joined(separator: ", "))]", "", "providers:"]
        lines += self.providers.flatMap(\.lines)
        lines += ["", "dns:"] + self.dns.lines
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
            "  \(self.name):", "    address: [\(self.addresses.map { "\"\($0)\"" }.joined(separator: ", "))]",
            "    port: \(self.port)", "    tls: \(self.tls.rawValue)", "    auth: \(self.auth.rawValue)",
            "    auth-without-tls: \(self.authWithoutTLS)",
            "    allow: [\(self.allowedNetworks.map { "\"\($0)\"" }.joined(separator: ", "))]",
        ]
        if let certificateFile, let keyFile {
            lines += ["    certificate-file: \(certificateFile)", "    key-file: \(keyFile)"]
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
                "allow-networks: [\(direct.allowedNetworks.map { "\"\($0)\"" }.joined(separator: ", "))]",
                "connect-timeout: \(configured(direct.connectTimeout))",
            ]
        case .smarthost(let host):
            return [
                "kind: \(host.isGmail ? "gmail" : "smarthost")", "host: \(host.host)", "port: \(host.port)",
                "tls: \(host.tls.rawValue)", "verify-certificate: \(host.verifiesCertificate)",
                "connections: \(host.connections)",
            ] + host.login.lines
        case .sendgrid(let api):
            return ["kind: sendgrid", "sandbox: \(api.isTest)"] + api.lines
        case .mailgun(let api):
            return ["kind: mailgun", "test-mode: \(api.isTest)"] + (api.domain.map { ["domain: \($0)"] } ?? [])
                + api.lines
        }
    }
}

extension SmarthostSettings.Login {
    fileprivate var lines: [String] {
        switch self {
        case .none: []
        case .password(let username, let secret): ["username: \(username)", "password: # \(secret)"]
        case .token(let username, let file): ["username: \(username)", "token-file: \(file)"]
        }
    }
}

extension APISettings {
    fileprivate var lines: [String] {
        ["api-key: # \(self.key)", "region: \(self.isEuropean ? "eu" : "us")", "timeout: \(configured(self.timeout))"]
            + (self.baseURL.map { ["base-url: \($0)"] } ?? [])
    }
}

extension DNSSettings {
    fileprivate var lines: [String] {
        [
            "  sources: [\(self.sources.map { "\"\($0)\"" }.joined(separator: ", "))]",
            "  resolv-conf: \(self.resolvConf)", "  source-timeout: \(configured(self.sourceTimeout))",
            "  lookup-timeout: \(configured(self.lookupTimeout))", "  head-start: \(configured(self.headStart))",
            "  serve-stale: \(configured(self.serveStale))", "  believe-lone-negative: \(self.believesLoneNegative)",
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
            "  concurrency: \(self.concurrency)", "  per-destination: \(self.perDestination)",
        ]
    }
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
