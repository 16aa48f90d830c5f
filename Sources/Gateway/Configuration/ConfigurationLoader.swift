import DNSProtocol
import Delivery
import MailModel

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads file and environment into a `GatewayConfiguration`, or says everything that is wrong with them at once.
package struct ConfigurationLoader {
    /// Where the configuration is looked for when no path is given.
    package static let defaultPath = "/etc/hikyaku/hikyaku.yaml"
    static let defaultDirectory = "/var/lib/hikyaku"
    /// `HIKYAKU_` names that are not keys of the configuration.
    private static let otherNames: Set<String> = ["HIKYAKU_CONFIG", "HIKYAKU_BIN", CrashTrigger.variable]

    let tree: SettingsTree
    let root: SettingsSection

    /// Parses the text of a file together with an environment.
    package static func parse(
        _ text: String?,
        source: String,
        environment: [String: String],
        checksFiles: Bool = false
    ) throws(ConfigurationFailure) -> GatewayConfiguration {
        let tree = try SettingsTree(text: text, source: source, environment: environment, checksFiles: checksFiles)
        let loader = ConfigurationLoader(tree: tree, root: SettingsSection(tree, node: tree.root))
        let configuration = loader.configuration()
        loader.root.finish()
        tree.reportUnknownEnvironment(besides: self.otherNames)
        guard tree.problems.isEmpty else {
            throw ConfigurationFailure(tree.problems.sorted { ($0.line ?? .max) < ($1.line ?? .max) })
        }
        return configuration
    }

    private func configuration() -> GatewayConfiguration {
        let hostname = self.hostname()
        let directory = self.root.text("data-directory") ?? Self.defaultDirectory
        let domain = self.name("domain", "POSTFIX_MYDOMAIN", "MYDOMAIN") ?? hostname
        self.tree.warnOfPostfix(besides: ["POSTFIX_MYHOSTNAME", "POSTFIX_MYDOMAIN"])
        let limits = self.limits()
        let providers = ProviderLoader(tree: self.tree, root: self.root).load()
        let configuration = GatewayConfiguration(
            hostname: hostname,
            domain: domain,
            dataDirectory: directory,
            controlSocket: self.controlSocket() ?? Self.socket(in: directory),
            listeners: self.listeners(),
            users: self.users(),
            chain: providers.map(\.name),
            providers: providers,
            dns: self.dns(),
            doctor: self.doctor(),
            retry: self.retry(),
            limits: limits,
            log: self.log(),
            shutdownGrace: self.root.duration("shutdown-grace") ?? .seconds(8),
            retention: self.root.duration("retention") ?? .seconds(14 * 86_400),
            retentionSize: self.retentionSize(),
            keepsContent: self.root.bool("keep-content") ?? false,
            warnings: self.tree.warnings
        )
        self.check(configuration)
        return configuration
    }

    func controlSocket() -> String? {
        self.root.value("control-socket", expected: "a path of at most \(ControlServer.longestPath) octets") { path in
            path.isEmpty || path.utf8.count > ControlServer.longestPath ? nil : path
        }
    }

    /// Octets, or nil for `none`.
    private func retentionSize() -> Int? {
        if self.root.raw("retention-size")?.text == "none" {
            return nil
        }
        return self.root.size("retention-size", atLeast: 1 << 20)
    }

    private func hostname() -> String {
        if let name = self.name("hostname", "POSTFIX_MYHOSTNAME", "MYHOSTNAME") {
            return name
        }
        var buffer = [CChar](repeating: 0, count: 256)
        // A machine without a name is called localhost; that is no error here, only a poor EHLO name.
        gethostname(&buffer, buffer.count - 1)
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let name = String(decoding: bytes, as: UTF8.self)
        return name.isEmpty ? "localhost" : name
    }

    /// A name that goes into every dialogue and header section, where a wrong octet would bounce all mail.
    ///
    /// White space at its ends is its file's, such as the CR of an environment file that was written on Windows.
    private func name(_ key: String, _ aliases: String...) -> String? {
        guard let written = self.root.text(key) ?? self.alias(aliases, for: key) else {
            return nil
        }
        let name = written[...].trimmed
        let isName =
            !name.isEmpty && name.count <= 255
            && name.allSatisfy { character in
                character.isASCII && (character.isLetter || character.isNumber || ".-_[]:".contains(character))
            }
        guard isName else {
            self.root.report(
                key,
                self.root.raw(key),
                "expected a host name such as mail.example.com, found \"\(written)\""
            )
            return nil
        }
        return name
    }

    /// A name of the containers that we replace; understood, with a word on how we call it.
    private func alias(_ names: [String], for key: String) -> String? {
        for name in names {
            guard let value = self.tree.environment[name], !value.isEmpty else {
                continue
            }
            let own = self.root.environmentName(of: key)
            self.tree.warn("\(name) is understood as \(own); new installations should set that")
            return value
        }
        return nil
    }

    private func users() -> [String: String] {
        let section = self.root.section("users")
        var users: [String: String] = [:]
        for name in self.root.names("users") {
            guard let hash = section.text(name) else {
                continue
            }
            if PasswordHash(hash) != nil {
                users[name] = hash
            } else {
                section.report(
                    name,
                    section.raw(name),
                    "expected a hash made by `hikyaku hash-password`, never a password"
                )
            }
        }
        section.finish()
        return users
    }

    private func limits() -> LimitSettings {
        let section = self.root.section("limits")
        defer { section.finish() }
        return LimitSettings(
            messageSize: section.size("message-size", atLeast: 512) ?? 25 << 20,
            recipients: section.integer("recipients", 1...100_000) ?? 10_000,
            connections: section.integer("connections", 1...1_000_000) ?? 4_096,
            connectionsPerAddress: section.integer("connections-per-address", 1...1_000_000) ?? 1_000,
            memory: section.size("memory", atLeast: 1 << 20) ?? 64 << 20,
            authFailures: section.integer("auth-failures", 1...1_000_000) ?? 20,
            authBlock: section.duration("auth-block", atLeast: .seconds(1)) ?? .seconds(600),
            helloTimeout: section.duration("hello-timeout", atLeast: .seconds(1)) ?? .seconds(60),
            idleTimeout: section.duration("idle-timeout", atLeast: .seconds(1)) ?? .seconds(300),
            contentGrace: section.duration("content-grace", atLeast: .seconds(1)) ?? .seconds(300),
            concurrency: section.integer("concurrency", 1...10_000) ?? 200,
            perDestination: section.integer("per-destination", 1...10_000) ?? 20,
            perDestinationStart: section.integer("per-destination-start", 1...10_000) ?? 5,
            apiNetworks: self.networks(section, "allow-api-networks") ?? []
        )
    }

    private func retry() -> RetrySettings {
        let section = self.root.section("retry")
        defer { section.finish() }
        return RetrySettings(
            firstDelay: section.duration("first-delay", atLeast: .milliseconds(100)) ?? .seconds(30),
            maximumDelay: section.duration("max-delay", atLeast: .milliseconds(100)) ?? .seconds(1_800),
            outageDelay: section.duration("outage-delay", atLeast: .milliseconds(100)) ?? .seconds(60),
            ambiguousDelay: section.duration("ambiguous-delay", atLeast: .milliseconds(100)) ?? .seconds(60),
            fallbackAfter: section.duration("fallback-after") ?? .seconds(120),
            expireAfter: section.duration("expire-after", atLeast: .seconds(1)) ?? .seconds(4 * 86_400),
            attemptTimeout: section.duration("attempt-timeout", atLeast: .seconds(1)) ?? .seconds(300),
            breakerFirstDelay: section.duration("breaker-delay", atLeast: .milliseconds(100)) ?? .seconds(10),
            breakerMaximumDelay: section.duration("breaker-max-delay", atLeast: .milliseconds(100)) ?? .seconds(300),
            onAmbiguous: section.choice("on-ambiguous", StrategyChain.OnAmbiguous.self) ?? .resend
        )
    }

    private func dns() -> DNSSettings {
        let section = self.root.section("dns")
        defer { section.finish() }
        var hosts: [String: [IPAddress]] = [:]
        let pins = section.section("hosts")
        for name in section.names("hosts") {
            let addresses = pins.list(name)?.compactMap { raw in
                let address = IPAddress(raw.text)
                if address == nil {
                    pins.report(name, raw, "expected an IP address, found \"\(raw.text)\"")
                }
                return address
            }
            hosts[name.lowercased()] = addresses
        }
        pins.finish()
        let usesPublic = section.bool("public-resolvers") ?? true
        let (trustsLoopback, trusted) = self.trust(section)
        return DNSSettings(
            sources: self.sources(section, usesPublic: usesPublic),
            usesPublicResolvers: usesPublic,
            resolvConf: section.text("resolv-conf") ?? "/etc/resolv.conf",
            sourceTimeout: section.duration("source-timeout", atLeast: .milliseconds(100)) ?? .milliseconds(1_500),
            lookupTimeout: section.duration("lookup-timeout", atLeast: .milliseconds(100)) ?? .seconds(5),
            headStart: section.duration("head-start") ?? .milliseconds(300),
            serveStale: section.duration("serve-stale") ?? .seconds(7 * 86_400),
            believesLoneNegative: section.bool("believe-lone-negative") ?? false,
            isCautious: section.bool("caution") ?? false,
            trustedAddresses: trusted,
            trustsLoopback: trustsLoopback,
            askedValidators: section.choice("ask-validators", DNSSettings.AskedValidators.self) ?? .all,
            namesSources: section.list("sources") != nil,
            hosts: hosts
        )
    }

    private func trust(_ section: SettingsSection) -> (loopback: Bool, Set<IPAddress>) {
        let raws = section.list("trust-ad") ?? [.init(text: "loopback")]
        let addresses = raws.filter { $0.text != "loopback" }.compactMap { raw in
            let address = IPAddress(raw.text)
            if address == nil {
                section.report(
                    "trust-ad",
                    raw,
                    "expected loopback or an IP address such as 192.0.2.53, found \"\(raw.text)\""
                )
            }
            return address
        }
        return (raws.contains { $0.text == "loopback" }, Set(addresses))
    }

    /// The sources as written, without public ones where those are switched off.
    private func sources(_ section: SettingsSection, usesPublic: Bool) -> [DNSSource] {
        guard let raws = section.list("sources") else {
            return [.system] + (usesPublic ? PublicResolvers.sources : [])
        }
        if raws.isEmpty {
            section.report("sources", nil, "is empty; name at least one, such as system")
        }
        let sources = raws.compactMap { raw in
            do {
                return try DNSSource(raw.text)
            } catch {
                section.report("sources", raw, "\(error)")
                return nil
            }
        }
        let allowed = usesPublic ? sources : sources.filter { !$0.isPublic }
        if allowed.isEmpty, !sources.isEmpty {
            section.report("sources", nil, "names public resolvers only, which public-resolvers: false switches off")
        }
        return allowed
    }

    private func log() -> LogSettings {
        let section = self.root.section("log")
        defer { section.finish() }
        return LogSettings(
            format: section.choice("format", LogSettings.Format.self) ?? .plain,
            level: section.choice("level", LogSettings.Level.self) ?? .info
        )
    }

    private func check(_ configuration: GatewayConfiguration) {
        var seen: [String: String] = [:]
        for listener in configuration.listeners where listener.port != 0 {
            for address in listener.addresses {
                let place = "\(address) port \(listener.port)"
                if let other = seen.updateValue(listener.name, forKey: place) {
                    let message = "listeners.\(listener.name) and listeners.\(other) both want \(place)"
                    self.tree.report(at: self.root.child("listeners"), message)
                }
            }
        }
        let isUseless = { (listener: ListenerSettings) in
            listener.auth == .required && listener.tls == .none && !listener.authWithoutTLS
        }
        for listener in configuration.listeners where isUseless(listener) {
            let message =
                "listeners.\(listener.name) requires AUTH, which is offered inside TLS only: set tls: starttls, or "
                + "auth-without-tls: true in a network that you trust"
            self.tree.report(at: self.root.child("listeners"), message)
        }
        let needsUsers = configuration.listeners.first { $0.auth == .required }
        if let needsUsers, configuration.users.isEmpty {
            let message =
                "listeners.\(needsUsers.name) requires AUTH, but there are no users: make one with "
                + "`hikyaku hash-password` and put it under users"
            self.tree.report(at: self.root.child("listeners"), message)
        }
    }

    /// Networks as CIDR blocks, with the words `private`, `loopback` and `any`.
    func networks(_ section: SettingsSection, _ key: String) -> [CIDRBlock]? {
        section.list(key)?.flatMap { raw -> [CIDRBlock] in
            switch raw.text.lowercased() {
            case "private": return CIDRBlock.privateNetworks
            case "loopback": return ["127.0.0.0/8", "::1/128"].compactMap { CIDRBlock($0) }
            case "any": return ["0.0.0.0/0", "::/0"].compactMap { CIDRBlock($0) }
            case "none": return []
            default:
                guard let block = CIDRBlock(raw.text) else {
                    section.report(
                        key,
                        raw,
                        "expected private, loopback, any or a network such as 10.0.0.0/8, found \"\(raw.text)\""
                    )
                    return []
                }
                return [block]
            }
        }
    }
}
