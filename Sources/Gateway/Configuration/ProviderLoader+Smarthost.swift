import DNSProtocol
import MailModel

extension ProviderLoader {
    /// A relay with a login; the preset `gmail` needs only that.
    func smarthost(_ name: String, _ section: SettingsSection, isGmail: Bool, isWritten: Bool) -> ProviderSettings? {
        let relayhost = name == "relayhost" ? self.relayhost() : nil
        let written = section.value("host", expected: Self.hostForm) { Self.isHost($0) ? $0 : nil }
        let host = written ?? relayhost?.host ?? (isGmail ? "smtp.gmail.com" : nil)
        let tls = section.choice("tls", SmarthostSettings.TLSMode.self)
        let port = section.integer("port", 1...65_535) ?? relayhost?.port ?? (tls == .implicit ? 465 : 587)
        let login = self.login(name, section, isGmail: isGmail)
        let settings = SmarthostSettings(
            isGmail: isGmail,
            host: host ?? "",
            port: port,
            tls: tls ?? (port == 465 ? .implicit : .starttls),
            verifiesCertificate: section.bool("verify-certificate") ?? true,
            tlsName: section.text("tls-name"),
            caFile: section.file("ca-file", trouble: ConfiguredFiles.certificates),
            login: login ?? .none,
            allowsClearTextLogin: section.bool("auth-without-tls") ?? false,
            connections: section.integer("connections", 1...1_000) ?? 10,
            connectTimeout: section.duration("connect-timeout", atLeast: .milliseconds(100)) ?? .seconds(10)
        )
        guard host != nil else {
            // What is there and no host has been reported.
            if section.raw("host") != nil || (name == "relayhost" && self.tree.foreign("RELAYHOST") != nil) {
                return nil
            }
            section.report("host", nil, "is missing, such as smtp.example.com")
            return nil
        }
        if isGmail, login == nil {
            self.missing(
                "password",
                of: name,
                section,
                isWritten: isWritten,
                variable: "GMAIL_USERNAME and GMAIL_PASSWORD"
            )
            return nil
        }
        return ProviderSettings(name: name, kind: .smarthost(settings))
    }

    private func login(_ name: String, _ section: SettingsSection, isGmail: Bool) -> SmarthostSettings.Login? {
        let prefix = isGmail ? "GMAIL" : name == "relayhost" ? "RELAYHOST" : nil
        let username = section.text("username") ?? prefix.flatMap { section.foreign($0 + "_USERNAME", for: "username") }
        let password = section.secret("password", aliases: prefix.map { [$0 + "_PASSWORD"] } ?? [])
        let token = section.text("token-file")
        if let token, self.tree.checksFiles, let why = ConfiguredFiles.unreadable(token) {
            // It is read at each connection: whoever writes it may come later.
            self.tree.warn(at: section.raw("token-file")?.node, "providers.\(name).token-file: \(why)")
        }
        guard let username else {
            if password != nil || token != nil {
                section.report("username", nil, "is missing beside the password")
            }
            return nil
        }
        if let token {
            return .token(username: username, file: token)
        }
        guard let password else {
            if section.raw("username") != nil, !isGmail {
                section.report("password", nil, "is missing beside the username; a password-file is fine, too")
            }
            return nil
        }
        return .password(username: username, password)
    }

    private static let hostForm = "a host name or an IP address such as smtp.example.com"

    private static func isHost(_ text: String) -> Bool {
        let isName = text.allSatisfy { character in
            character.isASCII && (character.isLetter || character.isNumber || ".-_".contains(character))
        }
        return IPAddress(text) != nil || (isName && !text.isEmpty && DomainName(text) != nil)
    }

    /// `RELAYHOST=[smtp.example.com]:587`, as the Postfix images understand it.
    private func relayhost() -> (host: String, port: Int?)? {
        guard let text = self.tree.foreign("RELAYHOST") else {
            return nil
        }
        guard let parts = Self.hostAndPort(text) else {
            let expected = "expected a host and a port such as [smtp.example.com]:587 or [2001:db8::1]:25"
            self.tree.report(
                environment: "RELAYHOST",
                text.contains("@") ? expected : "\(expected), found \"\(text.prefix(80))\""
            )
            return nil
        }
        return parts
    }

    /// A host in brackets or without, and the port behind it; an IPv6 address without brackets has none.
    private static func hostAndPort(_ text: String) -> (host: String, port: Int?)? {
        let host: Substring
        let rest: Substring
        if IPAddress(text) != nil {
            return (text, nil)
        } else if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            let inside = text[text.index(after: text.startIndex)..<end]
            host = inside.lowercased().hasPrefix("ipv6:") ? inside.dropFirst(5) : inside
            rest = text[text.index(after: end)...]
        } else {
            host = text.prefix { $0 != ":" }
            rest = text.dropFirst(host.count)
        }
        guard self.isHost(String(host)) else {
            return nil
        }
        guard !rest.isEmpty else {
            return (String(host), nil)
        }
        return rest.hasPrefix(":") ? UInt16(rest.dropFirst()).flatMap { $0 > 0 ? (String(host), Int($0)) : nil } : nil
    }
}
