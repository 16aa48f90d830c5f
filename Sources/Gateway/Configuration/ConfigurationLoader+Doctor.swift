import DNSProtocol
import MailModel

extension ConfigurationLoader {
    /// Hosts that many know: of each port one, and no more is done there than to connect, greet and leave.
    private static let portTargets = [
        "smtp.gmail.com:465", "smtp.gmail.com:587", "smtp.sendgrid.net:2525", "api.sendgrid.com:443",
    ]

    func doctor() -> DoctorSettings {
        let section = self.root.section("doctor")
        defer { section.finish() }
        return DoctorSettings(
            testDomain: self.testDomain(section),
            portTargets: self.values(section, "port-targets", "a host and a port such as smtp.example.com:587") {
                PortTarget($0)
            } ?? Self.portTargets.compactMap { PortTarget($0) },
            publicAddresses: self.values(section, "public-address", "an IP address") { IPAddress($0) } ?? [],
            dkimSelectors: self.values(section, "dkim-selectors", "a selector such as s1") { text in
                DomainName(text) == nil ? nil : text
            } ?? [],
            comparesLibrary: section.bool("compare-libc") ?? true,
            watches: section.bool("watch") ?? true
        )
    }

    private func testDomain(_ section: SettingsSection) -> String {
        let text = section.text("test-domain") ?? "gmail.com"
        if DomainName(text) == nil {
            section.report("test-domain", section.raw("test-domain"), "expected a domain, found \"\(text)\"")
        }
        return text
    }

    private func values<Value>(
        _ section: SettingsSection,
        _ key: String,
        _ expected: String,
        _ read: (String) -> Value?
    ) -> [Value]? {
        section.list(key)?.compactMap { raw in
            let value = read(raw.text)
            if value == nil {
                section.report(key, raw, "expected \(expected), found \"\(raw.text)\"")
            }
            return value
        }
    }
}
