import FoundationEssentials
import HTTPAPI
import MailModel
import Yams

/// Reads the providers and the chain that orders them.
struct ProviderLoader {
    /// The order in which providers join a chain that nobody has written down.
    private static let usualOrder = ["direct", "gmail", "sendgrid", "mailgun"]

    private enum Kind: String, CaseIterable {
        case directMX = "direct-mx"
        case smarthost, sendgrid, mailgun, gmail
    }

    let tree: SettingsTree
    let root: SettingsSection

    /// The providers of the chain, in its order; one that nobody configured is left out with a warning.
    func load() -> [ProviderSettings] {
        let section = self.root.section("providers")
        let written = self.root.names("providers")
        let chain = self.root.list("chain")
        let names = chain?.map(\.text) ?? self.implicitChain(written)
        let known = Set(written + Self.usualOrder + ["relayhost"])
        self.check(chain, names, written, known: known)
        var providers: [ProviderSettings] = []
        for name in names where known.contains(name) && !providers.contains(where: { $0.name == name }) {
            if let provider = self.provider(name, section.section(name), isWritten: written.contains(name)) {
                providers.append(provider)
            }
        }
        for name in written where !names.contains(name) {
            _ = section.child(name)
        }
        if let relayhost = self.tree.foreign("RELAYHOST"), !names.contains("relayhost") {
            // Before an @ may stand a password.
            let shown = relayhost.contains("@") ? "" : " (\(relayhost.prefix(80)))"
            let advice = "name relayhost in the chain, where it is to be asked"
            self.tree.warn("RELAYHOST\(shown) is not used: \(advice)")
        }
        section.finish()
        if providers.isEmpty, self.tree.problems.isEmpty {
            self.tree.report(at: self.root.child("chain"), "chain: no provider can be used; name at least direct")
        }
        return providers
    }

    /// Written providers in their order, else those whose credentials are in the environment, after `direct`.
    private func implicitChain(_ written: [String]) -> [String] {
        guard written.isEmpty else {
            return written
        }
        let tree = self.tree
        let has = { (names: String...) in names.contains { (tree.foreign($0) ?? tree.foreign($0 + "_FILE")) != nil } }
        return Self.usualOrder.filter { name in
            switch name {
            case "gmail": has("GMAIL_PASSWORD", "HIKYAKU_PROVIDERS_GMAIL_PASSWORD")
            case "sendgrid": has("SENDGRID_API_KEY", "HIKYAKU_PROVIDERS_SENDGRID_API_KEY")
            case "mailgun": has("MAILGUN_API_KEY", "HIKYAKU_PROVIDERS_MAILGUN_API_KEY")
            default: true
            }
        } + (tree.foreign("RELAYHOST") == nil ? [] : ["relayhost"])
    }

    private func check(
        _ chain: [SettingsSection.Raw]?,
        _ names: [String],
        _ written: [String],
        known: Set<String>
    ) {
        for raw in chain ?? [] where !known.contains(raw.text) {
            let hint = nearest(to: raw.text, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
            self.root.report("chain", raw, "\"\(raw.text)\" is not among the providers\(hint)")
        }
        for (index, raw) in (chain ?? []).enumerated() where names.firstIndex(of: raw.text) != index {
            self.root.report("chain", raw, "\"\(raw.text)\" stands there twice")
        }
        guard chain != nil else {
            return
        }
        for name in written where !names.contains(name) {
            let node = self.root.child("providers")?.mapping?.keys.first { $0.scalar?.string == name }
            let hint = nearest(to: name, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
            self.tree.report(at: node, "providers.\(name) is not in the chain and nothing refers to it\(hint)")
        }
    }

    private func provider(_ name: String, _ section: SettingsSection, isWritten: Bool) -> ProviderSettings? {
        let kind = section.choice("kind", Kind.self) ?? section.choice("preset", Kind.self) ?? self.usualKind(of: name)
        guard let kind else {
            section.report("kind", nil, "is missing: one of \(Kind.allCases.map(\.rawValue).joined(separator: ", "))")
            return nil
        }
        _ = section.raw("preset")
        defer { section.finish() }
        switch kind {
        case .directMX:
            return ProviderSettings(name: name, kind: .directMX(self.direct(section)))
        case .smarthost, .gmail:
            return self.smarthost(name, section, isGmail: kind == .gmail, isWritten: isWritten)
        case .sendgrid, .mailgun:
            return self.api(name, section, isMailgun: kind == .mailgun, isWritten: isWritten)
        }
    }

    private func usualKind(of name: String) -> Kind? {
        switch name {
        case "direct": .directMX
        case "relayhost": .smarthost
        default: Kind(rawValue: name)
        }
    }

    private func direct(_ section: SettingsSection) -> DirectSettings {
        let loader = ConfigurationLoader(tree: self.tree, root: self.root)
        return DirectSettings(
            port: section.integer("port", 1...65_535) ?? 25,
            allowedNetworks: loader.networks(section, "allow-networks") ?? [],
            usesTLS: section.value("tls", expected: "opportunistic or none") {
                ["opportunistic": true, "none": false][$0]
            } ?? true,
            usesDANE: section.bool("dane") ?? true,
            usesMTASTS: section.bool("mta-sts") ?? true,
            caFile: section.file("ca-file", trouble: ConfiguredFiles.certificates),
            connectTimeout: section.duration("connect-timeout", atLeast: .milliseconds(100)) ?? .seconds(10)
        )
    }

    private func api(_ name: String, _ section: SettingsSection, isMailgun: Bool, isWritten: Bool) -> ProviderSettings?
    {
        let settings = { (key: Secret) in
            APISettings(
                key: key,
                isEuropean: section.value("region", expected: "us or eu") {
                    ["us": false, "global": false, "eu": true][$0]
                }
                    ?? false,
                baseURL: section.value("base-url", expected: "https://host or https://host:port") {
                    Endpoint($0) == nil ? nil : $0
                },
                domain: isMailgun ? section.text("domain") ?? section.foreign("MAILGUN_DOMAIN", for: "domain") : nil,
                isTest: section.bool(isMailgun ? "test-mode" : "sandbox") ?? false,
                timeout: section.duration("timeout", atLeast: .seconds(1)) ?? .seconds(60)
            )
        }
        let key = section.secret("api-key", aliases: [isMailgun ? "MAILGUN_API_KEY" : "SENDGRID_API_KEY"])
        let complete = settings(key ?? Secret("", origin: .configuration))
        guard key != nil else {
            let variable = isMailgun ? "MAILGUN_API_KEY" : "SENDGRID_API_KEY"
            self.missing("api-key", of: name, section, isWritten: isWritten, variable: variable)
            return nil
        }
        return ProviderSettings(name: name, kind: isMailgun ? .mailgun(complete) : .sendgrid(complete))
    }

    /// A way without credentials: an error where the operator wrote it down, else it waits for its environment.
    func missing(_ key: String, of name: String, _ section: SettingsSection, isWritten: Bool, variable: String) {
        let hasOther = self.tree.problems.contains { $0.message.hasPrefix("providers.\(name).") }
        if isWritten, section.node?.mapping?.isEmpty == false, section.bool("when-configured") != true {
            if !hasOther {
                section.report(
                    key,
                    nil,
                    "is missing; set it here, as \(key)-file, or in the environment as \(variable)"
                )
            }
        } else {
            _ = section.bool("when-configured")
            self.tree.warn("\(name) is left out of the chain until \(variable) is set")
        }
    }
}
