import Foundation
import Gateway
import TestKit
import Testing

@Suite("Mistakes in the configuration")
struct ConfigurationMistakesTests {
    struct Mistake: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let text: String
        var environment: [String: String] = [:]
        /// All that is said.
        let expected: String

        init(_ description: String, _ text: String, environment: [String: String] = [:], _ expected: String) {
            self.testDescription = description
            self.text = text
            self.environment = environment
            self.expected = expected
        }
    }

    private func complaint(_ text: String?, _ environment: [String: String]) -> String {
        do {
            _ = try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: environment, checksFiles: true)
            return ""
        } catch {
            return "\(error)"
        }
    }

    static let inTheFile = [
        Mistake(
            "a host name that is none",
            "hostname: mail server",
            "hikyaku.yaml:1: hostname: expected a host name such as mail.example.com, found \"mail server\""
        ),
        Mistake(
            "an unknown key deep down",
            "listeners:\n  smtp:\n    tsl: none",
            "hikyaku.yaml:3: listeners.smtp.tsl is no setting of Hikyaku; did you mean \"tls\"?"
        ),
        Mistake(
            "an unknown key like no other",
            "retry:\n  enthusiasm: high",
            "hikyaku.yaml:2: retry.enthusiasm is no setting of Hikyaku"
        ),
        Mistake(
            "a key of another kind of provider",
            "chain: [direct]\nproviders:\n  direct:\n    kind: direct-mx\n    api-key: x",
            "hikyaku.yaml:5: providers.direct.api-key is no setting of Hikyaku"
        ),
        Mistake(
            "no truth value",
            "keep-content: maybe",
            "hikyaku.yaml:1: keep-content: expected true or false, found \"maybe\""
        ),
        Mistake(
            "a time without a unit",
            "retry:\n  first-delay: 30",
            "hikyaku.yaml:2: retry.first-delay: expected a time such as 30s, 5m, 2h or 4d and at least 100 ms, found \"30\""
        ),
        Mistake(
            "no time at all between attempts",
            "retry:\n  first-delay: 0",
            "hikyaku.yaml:2: retry.first-delay: expected a time such as 30s, 5m, 2h or 4d and at least 100 ms, found \"0\""
        ),
        Mistake(
            "mail that expires at once",
            "retry: { expire-after: 0 }",
            "hikyaku.yaml:1: retry.expire-after: expected a time such as 30s, 5m, 2h or 4d and at least 1.0 s, found \"0\""
        ),
        Mistake(
            "no time to say hello",
            "limits: { hello-timeout: 0s }",
            "hikyaku.yaml:1: limits.hello-timeout: expected a time such as 30s, 5m, 2h or 4d and at least 1.0 s, "
                + "found \"0s\""
        ),
        Mistake(
            "no size that a message can have",
            "limits: { message-size: 0 }",
            "hikyaku.yaml:1: limits.message-size: expected a size such as 25MiB or 500KB and at least 512 B, found \"0\""
        ),
        Mistake(
            "a hash that is none",
            "users:\n  app: $2y$12$abc",
            "hikyaku.yaml:2: users.app: expected a hash made by `hikyaku hash-password`, never a password"
        ),
        Mistake(
            "a certificate and a key that are not there",
            "listeners:\n  smtp:\n    tls: starttls\n    certificate-file: /nowhere/a.crt\n    key-file: /nowhere/a.key",
            "hikyaku.yaml:4: listeners.smtp.certificate-file: /nowhere/a.crt cannot be read: No such file or directory\n"
                + "hikyaku.yaml:5: listeners.smtp.key-file: /nowhere/a.key cannot be read: No such file or directory"
        ),
        Mistake(
            "trust roots that are none",
            "chain: [relay]\nproviders:\n  relay:\n    kind: smarthost\n    host: h.example\n    ca-file: /dev/null",
            "hikyaku.yaml:6: providers.relay.ca-file: /dev/null holds no certificate in PEM form"
        ),
        Mistake(
            "a URL for a host",
            "chain: [relay]\nproviders:\n  relay: { kind: smarthost, host: \"smtp://x:25\" }",
            "hikyaku.yaml:3: providers.relay.host: expected a host name or an IP address such as smtp.example.com, "
                + "found \"smtp://x:25\""
        ),
        Mistake(
            "an API in clear text",
            "chain: [sendgrid]\nproviders:\n  sendgrid: { api-key: x, base-url: \"http://api.test\" }",
            "hikyaku.yaml:3: providers.sendgrid.base-url: expected https://host or https://host:port, "
                + "found \"http://api.test\""
        ),
        Mistake(
            "a socket whose path is too long",
            "control-socket: /\(String(repeating: "x", count: 97))",
            "hikyaku.yaml:1: control-socket: expected a path of at most 97 octets, found "
                + "\"/\(String(repeating: "x", count: 79))\""
        ),
        Mistake(
            "a negative time",
            "retention: -1d",
            "hikyaku.yaml:1: retention: expected a time such as 30s, 5m, 2h or 4d, found \"-1d\""
        ),
        Mistake(
            "no size",
            "limits:\n\n  message-size: big",
            "hikyaku.yaml:3: limits.message-size: expected a size such as 25MiB or 500KB and at least 512 B, found \"big\""
        ),
        Mistake(
            "no size of the history",
            "retention-size: much",
            "hikyaku.yaml:1: retention-size: expected a size such as 25MiB or 500KB and at least 1.0 MiB, found \"much\""
        ),
        Mistake(
            "a size beyond all numbers",
            "limits: { message-size: 99999999999999GB }",
            "hikyaku.yaml:1: limits.message-size: expected a size such as 25MiB or 500KB and at least 512 B, "
                + "found \"99999999999999GB\""
        ),
        Mistake(
            "a number out of its range",
            "limits: { recipients: 0 }",
            "hikyaku.yaml:1: limits.recipients: expected a number from 1 to 100000, found \"0\""
        ),
        Mistake(
            "no choice",
            "listeners: { smtp: { tls: ssl } }",
            "hikyaku.yaml:1: listeners.smtp.tls: expected one of none, starttls, implicit, found \"ssl\""
        ),
        Mistake(
            "a list where one value belongs",
            "hostname: [a, b]",
            "hikyaku.yaml:1: hostname: expected one value"
        ),
        Mistake(
            "one value where keys belong",
            "listeners: 25",
            "hikyaku.yaml:1: listeners: expected keys and values beneath it"
        ),
        Mistake(
            "a list as the whole file",
            "- hostname: a",
            "hikyaku.yaml:1: expected keys and values such as `hostname: mail.example.com`"
        ),
        Mistake(
            "a network that is none",
            "listeners:\n  smtp:\n    allow:\n      - 10.0.0.0/8\n      - 10.0.0.0/33",
            "hikyaku.yaml:5: listeners.smtp.allow: expected private, loopback, any or a network such as 10.0.0.0/8, "
                + "found \"10.0.0.0/33\""
        ),
        Mistake(
            "an address that is a name",
            "listeners: { smtp: { address: localhost } }",
            "hikyaku.yaml:1: listeners.smtp.address: expected an IP address such as 127.0.0.1 or ::, found \"localhost\""
        ),
        Mistake(
            "half a certificate",
            "listeners: { smtp: { key-file: /a.pem } }",
            "hikyaku.yaml:1: listeners.smtp.key-file: /a.pem cannot be read: No such file or directory\n"
                + "hikyaku.yaml:1: listeners.smtp.certificate-file: certificate-file and key-file go together"
        ),
        Mistake(
            "AUTH that is never offered",
            "users:\n  a: $scrypt$ln=15,r=8,p=1$r2MYaB8AenL9UWVb7+wnug==$YDgebzzl4dLOlxjisi5CN2Dx/87vGR2ulDnCfvC5Ifg=\nlisteners:\n  smtp: { auth: required }",
            "hikyaku.yaml:4: listeners.smtp requires AUTH, which is offered inside TLS only: set tls: starttls, or "
                + "auth-without-tls: true in a network that you trust"
        ),
        Mistake(
            "AUTH without users",
            "listeners:\n  smtp: { auth: required, tls: starttls }",
            "hikyaku.yaml:2: listeners.smtp requires AUTH, but there are no users: make one with "
                + "`hikyaku hash-password` and put it under users"
        ),
        Mistake(
            "an empty chain",
            "hostname: a\nchain: []",
            "hikyaku.yaml:2: chain: no provider can be used; name at least direct"
        ),
        Mistake(
            "a chain of providers without credentials",
            "chain: [sendgrid, mailgun]",
            "hikyaku.yaml:1: chain: no provider can be used; name at least direct"
        ),
        Mistake(
            "a provider twice in the chain",
            "chain:\n  - direct\n  - direct",
            "hikyaku.yaml:3: chain: \"direct\" stands there twice"
        ),
        Mistake(
            "a provider of no kind",
            "chain: [relay]\nproviders:\n  relay: { host: relay.example.com }",
            "hikyaku.yaml:3: providers.relay.kind: is missing: one of direct-mx, smarthost, sendgrid, mailgun, gmail"
        ),
        Mistake(
            "a smarthost without a host",
            "chain: [relay]\nproviders:\n  relay: { kind: smarthost }",
            "hikyaku.yaml:3: providers.relay.host: is missing, such as smtp.example.com"
        ),
        Mistake(
            "a username without a password",
            "chain: [relay]\nproviders:\n  relay: { kind: smarthost, host: h.example, username: u }",
            "hikyaku.yaml:3: providers.relay.password: is missing beside the username; a password-file is fine, too"
        ),
        Mistake(
            "a password without a username",
            "chain: [relay]\nproviders:\n  relay: { kind: smarthost, host: h.example, password: p }",
            "hikyaku.yaml:3: providers.relay.username: is missing beside the password"
        ),
        Mistake(
            "gmail without a password",
            "chain: [gmail]\nproviders:\n  gmail: { preset: gmail, username: a@example.com }",
            "hikyaku.yaml:3: providers.gmail.password: is missing; set it here, as password-file, or in the environment "
                + "as GMAIL_USERNAME and GMAIL_PASSWORD"
        ),
        Mistake(
            "a secret file that is not there",
            "chain: [mailgun]\nproviders:\n  mailgun:\n    api-key-file: /nowhere/key",
            "hikyaku.yaml:4: providers.mailgun.api-key-file: /nowhere/key cannot be read; check the path and its permissions"
        ),
        Mistake(
            "a pinned address that is none",
            "dns:\n  hosts:\n    smtp.example.com: [192.0.2.1, here]",
            "hikyaku.yaml:3: dns.hosts.smtp.example.com: expected an IP address, found \"here\""
        ),
        Mistake(
            "a DNS source that is none",
            "dns:\n  sources: [system, google]",
            "hikyaku.yaml:2: dns.sources: \"google\" is not a DNS source: expected system, an address such as 8.8.8.8 or "
                + "[2001:db8::1]:53, tls://1.1.1.1 or https://1.1.1.1/dns-query"
        ),
        Mistake(
            "no DNS source",
            "dns: { sources: [] }",
            "hikyaku.yaml:1: dns.sources: is empty; name at least one, such as system"
        ),
        Mistake(
            "no target of a port",
            "doctor:\n  port-targets: [relay.example.org, a:0]",
            "hikyaku.yaml:2: doctor.port-targets: expected a host and a port such as smtp.example.com:587, "
                + "found \"relay.example.org\"\nhikyaku.yaml:2: doctor.port-targets: expected a host and a port such as "
                + "smtp.example.com:587, found \"a:0\""
        ),
        Mistake(
            "no address of ours",
            "doctor:\n  public-address: gw.example.org\n  test-domain: a..b",
            "hikyaku.yaml:2: doctor.public-address: expected an IP address, found \"gw.example.org\"\n"
                + "hikyaku.yaml:3: doctor.test-domain: expected a domain, found \"a..b\""
        ),
        Mistake(
            "a control character beside a password, which is not shown",
            "hostname: a\nusers:\n  a: \"hunter2\u{01}x\"",
            "hikyaku.yaml:3: not valid YAML: control characters are not allowed"
        ),
        Mistake(
            "a key twice",
            "hostname: a\ndomain: b\nhostname: c",
            "hikyaku.yaml:1: \"hostname\" stands here twice; keep one"
        ),
        Mistake(
            "a key twice deep down",
            "hostname: a\nlisteners:\n  smtp:\n    port: 25\n    port: 26",
            "hikyaku.yaml:4: \"port\" stands here twice; keep one"
        ),
    ]

    @Test("in the file: named with file, line and key", arguments: inTheFile)
    func namesTheLine(_ mistake: Mistake) {
        #expect(self.complaint(mistake.text, mistake.environment) == mistake.expected)
    }

    @Test("a file that cannot be read is named, and so is one that is named by HIKYAKU_CONFIG")
    func namesTheFile() {
        let expected = "/nowhere/hikyaku.yaml: cannot be read: No such file or directory"
        for (path, environment) in [
            ("/nowhere/hikyaku.yaml", [:]), (nil, ["HIKYAKU_CONFIG": "/nowhere/hikyaku.yaml"]),
        ] as [(String?, [String: String])] {
            do {
                _ = try ConfigurationLoader.load(path: path, environment: environment)
                Issue.record("it loaded")
            } catch {
                #expect(error.description == expected)
            }
        }
    }

    @Test("a file at the usual place that cannot be read is a mistake; only where there is none it is done without")
    func neverPassesOver() throws {
        let folder = NSTemporaryDirectory() + "hky-\(UUID().uuidString.prefix(13))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let loop = folder + "/loop.yaml"
        try FileManager.default.createSymbolicLink(atPath: loop, withDestinationPath: loop)
        let latin = folder + "/latin.yaml"
        try Data([0x68, 0xE9]).write(to: URL(fileURLWithPath: latin))
        let good = folder + "/good.yaml"
        try Data("hostname: a.test\n".utf8).write(to: URL(fileURLWithPath: good))
        let load = { (path: String) in
            Result { try ConfigurationLoader.load(path: nil, environment: [:], defaultPath: path) }
        }
        let complaint = { (path: String) in
            if case .failure(let error) = load(path) { "\(error)" } else { "it loaded" }
        }
        #expect(complaint(loop) == "\(loop): cannot be read: Too many levels of symbolic links")
        #expect(complaint(folder) == "\(folder): cannot be read: it is no file")
        #expect(complaint(latin) == "\(latin): cannot be read: it is not in UTF-8")
        #expect(try load(good).get().source == good)
        for nothing in [folder + "/none.yaml", good + "/below.yaml"] {
            #expect(try load(nothing).get().source == "environment")
        }
    }

    @Test("a certificate with the key of another is refused, with its own it is not")
    func knowsWhatBelongsTogether() async throws {
        let material = try TLSMaterial.shared.get()
        try await material.withFile("leaf") { certificate in
            for name in ["leaf", "selfsigned"] {
                let key = certificate + ".\(name)"
                try material.key(name).write(toFile: key, atomically: true, encoding: .utf8)
                defer { try? FileManager.default.removeItem(atPath: key) }
                let files = "certificate-file: \(certificate), key-file: \(key)"
                let expected = "hikyaku.yaml:1: listeners.smtp.key-file: \(key) is not the key of \(certificate)"
                let complaint = self.complaint("listeners: { smtp: { tls: starttls, \(files) } }", [:])
                #expect(complaint == (name == "leaf" ? "" : expected))
            }
        }
    }

    @Test("a token that is not there yet is warned of: it is read at each connection")
    func warnsOfTokens() throws {
        let relay = "{ kind: smarthost, host: h.test, username: u, token-file: /nowhere/t }"
        let text = "chain: [r]\nproviders:\n  r:\n    \(relay)"
        let parse = { (checksFiles: Bool) in
            try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: [:], checksFiles: checksFiles)
        }
        let expected = "hikyaku.yaml:4: providers.r.token-file: /nowhere/t cannot be read: No such file or directory"
        #expect(try parse(true).warnings.map(\.description) == [expected])
        #expect(try parse(false).warnings.isEmpty)
    }

    @Test("a health check finds the socket whatever else is wrong")
    func findsTheSocket() throws {
        let folder = NSTemporaryDirectory() + "hky-\(UUID().uuidString.prefix(13))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/hikyaku.yaml"
        let socket = { (text: String, environment: [String: String]) in
            try text.write(toFile: file, atomically: false, encoding: .utf8)
            return ConfigurationLoader.controlSocket(path: file, environment: environment)
        }
        #expect(try socket("data-directory: /d\nchian: [direct]\nretention: soon", [:]) == "/d/hikyaku.sock")
        #expect(try socket("control-socket: /run/h.sock\nchain: [relay]", [:]) == "/run/h.sock")
        #expect(try socket("data-directory: /d", ["HIKYAKU_CONTROL_SOCKET": "/run/e.sock"]) == "/run/e.sock")
        #expect(try socket("\t- {", ["HIKYAKU_DATA_DIRECTORY": "/e", "HIKYAKU_X": "y"]) == "/e/hikyaku.sock")
        #expect(try socket("\t- {", [:]) == "/var/lib/hikyaku/hikyaku.sock")
        let nowhere = ConfigurationLoader.controlSocket(path: folder + "/none", environment: [:])
        #expect(nowhere == "/var/lib/hikyaku/hikyaku.sock")
    }

    @Test("an open relay is warned of, unless a login is required")
    func warnsOfOpenRelays() throws {
        let open = try ConfigurationLoader.parse(
            "hostname: a\nlisteners:\n  smtp: { allow: any }",
            source: "hikyaku.yaml",
            environment: [:]
        )
        let expected =
            "hikyaku.yaml:3: listeners.smtp relays for everybody who can reach it: an open relay unless a firewall stands "
            + "before it"
        #expect(open.warnings.map(\.description) == [expected])
    }
}
