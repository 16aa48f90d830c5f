import MailModel

extension ConfigurationLoader {
    /// The listeners by name; without any, one on loopback that cannot become an open relay.
    func listeners() -> [ListenerSettings] {
        let section = self.root.section("listeners")
        var names = self.root.names("listeners")
        if names.isEmpty {
            // Named in the environment alone: HIKYAKU_LISTENERS_SMTP_PORT=25.
            names = ["smtp"]
        }
        let listeners = names.map { self.listener($0, section.section($0)) }
        section.finish()
        return listeners
    }

    private func listener(_ name: String, _ section: SettingsSection) -> ListenerSettings {
        defer { section.finish() }
        let tls = section.choice("tls", ListenerSettings.TLSMode.self) ?? .none
        let auth = section.choice("auth", ListenerSettings.AuthPolicy.self) ?? .none
        let allowed = self.networks(section, "allow") ?? (auth == .required ? [] : nil)
        let addresses = section.list("address")?.compactMap { raw -> String? in
            guard IPAddress(raw.text) != nil else {
                section.report("address", raw, "expected an IP address such as 127.0.0.1 or ::, found \"\(raw.text)\"")
                return nil
            }
            return raw.text
        }
        let isPublic = allowed?.contains { $0.prefixLength == 0 } ?? false
        if isPublic, auth != .required {
            self.tree.warn(
                at: section.node,
                "listeners.\(name) relays for everybody who can reach it: an open relay unless a firewall stands before it"
            )
        }
        let certificate = section.file("certificate-file", trouble: ConfiguredFiles.certificates)
        let key = section.file("key-file", trouble: ConfiguredFiles.key)
        if (certificate == nil) != (key == nil) {
            section.report(
                certificate == nil ? "certificate-file" : "key-file",
                nil,
                "certificate-file and key-file go together"
            )
        }
        if self.tree.checksFiles, let certificate, let key,
            let why = ConfiguredFiles.pair(certificate: certificate, key: key)
        {
            section.report("key-file", section.raw("key-file"), why)
        }
        return ListenerSettings(
            name: name,
            addresses: addresses ?? ["127.0.0.1"],
            port: section.integer("port", 0...65_535) ?? 2_525,
            tls: tls,
            auth: auth,
            authWithoutTLS: section.bool("auth-without-tls") ?? false,
            allowedNetworks: allowed ?? CIDRBlock.privateNetworks,
            certificateFile: certificate,
            keyFile: key
        )
    }
}
