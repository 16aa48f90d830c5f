import Foundation
import Gateway
import Testing

@Suite("The environment beside the configuration")
struct ConfigurationEnvironmentTests {
    private func complaint(_ text: String?, _ environment: [String: String]) -> String {
        do {
            _ = try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: environment)
            return ""
        } catch {
            return "\(error)"
        }
    }

    static let inTheEnvironment = [
        ("HIKYAKU_KEEP_CONTENT", "maybe", "expected true or false, found \"maybe\""),
        ("HIKYAKU_LISTENERS_SMTP_PORT", "70000", "expected a number from 0 to 65535, found \"70000\""),
        ("HIKYAKU_SHUTDOWN_GRACE", "soon", "expected a time such as 30s, 5m, 2h or 4d, found \"soon\""),
        (
            "HIKYAKU_LIMITS_MESSAGE_SIZE", "big",
            "expected a size such as 25MiB or 500KB and at least 512 B, found \"big\""
        ),
        ("HIKYAKU_LOG_FORMAT", "xml", "expected one of plain, json, found \"xml\""),
        ("HIKYAKU_HOSTNAME", "", "expected text, found \"\""),
        (
            "HIKYAKU_LISTENERS_SMTP_ALLOW", "private, intranet",
            "expected private, loopback, any or a network such as 10.0.0.0/8, found \"intranet\""
        ),
        ("HIKYAKU_CHAIN", "direct, smoke", "\"smoke\" is not among the providers"),
        (
            "HIKYAKU_PROVIDERS_SENDGRID_API_KEY_FILE", "/nowhere/key",
            "/nowhere/key cannot be read; check the path and its permissions"
        ),
        ("HIKYAKU_PROVIDERS_SENDGRID_API_KEY", "", "is empty"),
    ]

    @Test("in the environment: named with the variable", arguments: inTheEnvironment)
    func namesTheVariable(_ name: String, _ value: String, _ expected: String) {
        let chain = name.contains("SENDGRID") ? "chain: [sendgrid, direct]" : "retention: 1d"
        #expect(self.complaint(chain, [name: value]) == "environment: \(name): \(expected)")
    }

    @Test("a secret of another tool's name in an unreadable file is named by that name")
    func namesTheAlias() {
        let expected = "environment: SENDGRID_API_KEY_FILE: /nowhere cannot be read; check the path and its permissions"
        #expect(self.complaint(nil, ["SENDGRID_API_KEY_FILE": "/nowhere"]) == expected)
    }

    @Test("a secret's file is read up to its first line end; an empty one is an error")
    func readsSecretFiles() throws {
        let path = NSTemporaryDirectory() + "hky-secret-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "SG.key\nsecond line\n".write(toFile: path, atomically: false, encoding: .utf8)
        let environment = ["SENDGRID_API_KEY_FILE": path]
        chmod(path, 0o600)
        let quiet = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        guard case .sendgrid(let settings)? = quiet.providers.last?.kind else {
            Issue.record("sendgrid joins the chain")
            return
        }
        #expect(settings.key.value == "SG.key")
        #expect(quiet.warnings.isEmpty)
        chmod(path, 0o644)
        let loud = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        #expect(loud.warnings.map(\.message) == ["\(path) can be read by others; chmod 600 it"])
        try "\n".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(self.complaint(nil, environment) == "environment: SENDGRID_API_KEY_FILE: \(path) is empty")
    }

    @Test("variables that compose sets to nothing are as good as not set")
    func ignoresEmptyAliases() throws {
        let names = [
            "GMAIL_USERNAME", "GMAIL_PASSWORD", "GMAIL_PASSWORD_FILE", "SENDGRID_API_KEY", "SENDGRID_API_KEY_FILE",
            "MAILGUN_API_KEY", "MAILGUN_API_KEY_FILE", "MAILGUN_DOMAIN", "RELAYHOST", "RELAYHOST_USERNAME",
            "RELAYHOST_PASSWORD", "POSTFIX_MYHOSTNAME", "POSTFIX_MYDOMAIN",
        ]
        let environment = Dictionary(uniqueKeysWithValues: names.map { ($0, "") })
        let configuration = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        #expect(configuration.chain == ["direct"])
        #expect(configuration.warnings.isEmpty, "\(configuration.warnings)")
    }

    @Test("a relayhost in the environment of a Postfix container joins the chain; without a login where it has none")
    func understandsRelayhost() throws {
        let environment = ["RELAYHOST": "[smtp.example.com]:2587", "RELAYHOST_USERNAME": "", "RELAYHOST_PASSWORD": ""]
        let configuration = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        #expect(configuration.chain == ["direct", "relayhost"])
        guard case .smarthost(let settings)? = configuration.providers.last?.kind else {
            Issue.record("relayhost is a smarthost")
            return
        }
        #expect(settings.host == "smtp.example.com")
        #expect(settings.port == 2_587)
        guard case .none = settings.login else {
            Issue.record("there is no login")
            return
        }
    }

    static let relayhosts: [(String, String?, Int)] = [
        ("smtp.example.com", "smtp.example.com", 587), ("[smtp.example.com]", "smtp.example.com", 587),
        ("smtp.example.com:25", "smtp.example.com", 25), ("[2001:db8::1]:25", "2001:db8::1", 25),
        ("[ipv6:2001:db8::1]", "2001:db8::1", 587), ("2001:db8::1", "2001:db8::1", 587),
        ("[192.0.2.1]:465", "192.0.2.1", 465),
        ("smtp.example.com:smtp", nil, 0), ("[smtp.example.com]25", nil, 0), ("[smtp.example.com", nil, 0),
        ("smtp.example.com:0", nil, 0), ("smtp://smtp.example.com", nil, 0), (":25", nil, 0),
    ]

    @Test("a relayhost is read as Postfix reads it, or refused", arguments: relayhosts)
    func readsRelayhosts(_ text: String, _ host: String?, _ port: Int) throws {
        guard let host else {
            let expected = "environment: RELAYHOST: expected a host and a port such as [smtp.example.com]:587 or "
            let complaint = self.complaint(nil, ["RELAYHOST": text])
            #expect(complaint == expected + "[2001:db8::1]:25, found \"\(text)\"")
            return
        }
        let configuration = try ConfigurationLoader.parse(nil, source: "environment", environment: ["RELAYHOST": text])
        guard case .smarthost(let settings)? = configuration.providers.last?.kind else {
            Issue.record("relayhost is a smarthost")
            return
        }
        #expect(settings.host == host)
        #expect(settings.port == port)
    }

    @Test("what a Postfix container was told and we do not use is warned of by name")
    func warnsOfWhatIsNotUsed() throws {
        let environment = [
            "RELAYHOST": "[smtp.example.com]:587", "POSTFIX_mynetworks": "10.0.0.0/8", "POSTFIX_relayhost": "x",
            "POSTFIX_empty": "", "POSTFIX_MYHOSTNAME": "a.test", "POSTFIX_SERVICE_HOST": "10.0.0.1",
        ]
        let configuration = try ConfigurationLoader.parse(
            "hostname: a.test\nchain: [direct]",
            source: "hikyaku.yaml",
            environment: environment
        )
        let expected = [
            "settings of Postfix are not understood and not used: POSTFIX_mynetworks, POSTFIX_relayhost",
            "RELAYHOST ([smtp.example.com]:587) is not used: name relayhost in the chain, where it is to be asked",
        ]
        #expect(configuration.warnings.map(\.message) == expected)
        let used = try ConfigurationLoader.parse(
            "hostname: a.test\nchain: [direct, relayhost]",
            source: "hikyaku.yaml",
            environment: ["RELAYHOST": "[smtp.example.com]:587"]
        )
        #expect(used.warnings.isEmpty)
        #expect(used.chain == ["direct", "relayhost"])
    }

    @Test("a username and a domain may stand in files, too")
    func readsNamesFromFiles() throws {
        let path = NSTemporaryDirectory() + "hky-name-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "app@example.com\n".write(toFile: path, atomically: false, encoding: .utf8)
        let environment = [
            "GMAIL_USERNAME_FILE": path, "GMAIL_PASSWORD": "x", "MAILGUN_API_KEY": "x", "MAILGUN_DOMAIN_FILE": path,
        ]
        let configuration = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        #expect(configuration.chain == ["direct", "gmail", "mailgun"])
        guard case .smarthost(let gmail) = configuration.providers[1].kind,
            case .password("app@example.com", _) = gmail.login,
            case .mailgun(let mailgun) = configuration.providers[2].kind
        else {
            Issue.record("\(configuration.providers)")
            return
        }
        #expect(mailgun.domain == "app@example.com")
        #expect(configuration.warnings.isEmpty)
        let expected = "environment: MAILGUN_DOMAIN_FILE: /nowhere cannot be read; check the path and its permissions"
        #expect(self.complaint(nil, ["MAILGUN_API_KEY": "x", "MAILGUN_DOMAIN_FILE": "/nowhere"]) == expected)
    }

    @Test("what Kubernetes says of a Service called hikyaku is no setting, and no mistake")
    func passesServiceLinks() throws {
        let names = [
            "HIKYAKU_SERVICE_HOST", "HIKYAKU_SERVICE_PORT", "HIKYAKU_SERVICE_PORT_SMTP", "HIKYAKU_PORT",
            "HIKYAKU_PORT_25_TCP", "HIKYAKU_PORT_25_TCP_ADDR",
        ]
        let environment = Dictionary(uniqueKeysWithValues: names.map { ($0, "tcp://10.0.0.1:25") })
        let configuration = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        #expect(configuration.chain == ["direct"])
        #expect(throws: ConfigurationFailure.self) {
            try ConfigurationLoader.parse(nil, source: "environment", environment: ["HIKYAKU_PORT_TCP": "25"])
        }
    }

    @Test("the line ends of an environment file that was written on Windows belong to no name")
    func takesNamesFromWindows() throws {
        let environment = ["POSTFIX_MYHOSTNAME": "mail.example.com\r", "HIKYAKU_DOMAIN": " example.com \r"]
        let configuration = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        #expect(configuration.hostname == "mail.example.com")
        #expect(configuration.domain == "example.com")
    }

    @Test("the names of a Postfix container are told how we call them; what the file says wins over them")
    func tellsOurNames() throws {
        let environment = ["POSTFIX_MYHOSTNAME": "mail.example.com", "POSTFIX_MYDOMAIN": "example.com"]
        let bare = try ConfigurationLoader.parse(nil, source: "environment", environment: environment)
        let expected = [
            "environment: POSTFIX_MYDOMAIN is understood as HIKYAKU_DOMAIN; new installations should set that",
            "environment: POSTFIX_MYHOSTNAME is understood as HIKYAKU_HOSTNAME; new installations should set that",
        ]
        #expect(bare.warnings.map(\.description).sorted() == expected)
        let written = try ConfigurationLoader.parse(
            "hostname: gw.example.org\ndomain: example.org",
            source: "hikyaku.yaml",
            environment: environment
        )
        #expect(written.hostname == "gw.example.org")
        #expect(written.domain == "example.org")
        #expect(written.warnings.isEmpty)
    }
}
