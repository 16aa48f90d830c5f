import DNSProtocol
import Gateway
import MailModel
import Testing

@Suite("The configuration")
struct ConfigurationLoaderTests {
    private func load(_ text: String?, _ environment: [String: String] = [:]) throws -> GatewayConfiguration {
        try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: environment)
    }

    private func complaint(_ text: String?, _ environment: [String: String] = [:]) -> String {
        do {
            _ = try self.load(text, environment)
            return ""
        } catch {
            return "\(error)"
        }
    }

    @Test("public resolvers are asked behind the system's, unless one key or variable switches them off")
    func publicResolvers() throws {
        let usual = try self.load("hostname: a").dns
        #expect(
            usual.sources.map(\.description) == [
                "system", "8.8.8.8", "1.1.1.1", "https://dns.google@8.8.8.8/dns-query", "https://1.1.1.1/dns-query",
            ]
        )
        #expect(usual.trustsLoopback && usual.trustedAddresses.isEmpty)
        let closed = try self.load("dns: { public-resolvers: false }").dns
        #expect(closed.sources.map(\.description) == ["system"])
        let listed = try self.load(
            "dns: { sources: [\"192.0.2.53\", system, \"9.9.9.9\", \"tls://1.1.1.1\"], trust-ad: [192.0.2.53] }",
            ["HIKYAKU_DNS_PUBLIC_RESOLVERS": "false"]
        ).dns
        #expect(listed.sources.map(\.description) == ["192.0.2.53", "system"])
        #expect(!listed.trustsLoopback && listed.trustedAddresses.map(\.description) == ["192.0.2.53"])
    }

    @Test("validators are asked beside others, the public ones too, unless the operator says otherwise")
    func askedValidators() throws {
        let usual = try self.load("hostname: a").dns
        #expect(usual.askedValidators == .all && !usual.namesSources)
        let listed = try self.load("dns: { sources: [system, 9.9.9.9], ask-validators: never }").dns
        #expect(listed.askedValidators == .never && listed.namesSources)
        #expect(try self.load(nil, ["HIKYAKU_DNS_ASK_VALIDATORS": "configured"]).dns.askedValidators == .configured)
        #expect(self.complaint("dns: { ask-validators: some }").contains("all, configured, never"))
    }

    @Test("without any file, whatever has credentials joins the chain behind direct")
    func worksFromTheEnvironment() throws {
        #expect(try self.load(nil).chain == ["direct"])
        let environment = [
            "SENDGRID_API_KEY": "SG.x", "GMAIL_USERNAME": "a@example.com", "GMAIL_PASSWORD": "abcd efgh",
        ]
        #expect(try self.load(nil, environment).chain == ["direct", "gmail", "sendgrid"])
    }

    @Test("a provider without credentials is left out of a chain that names it, with a warning")
    func leavesOutWhatCannotBeUsed() throws {
        let configuration = try self.load("chain: [direct, gmail, sendgrid, mailgun]")
        #expect(configuration.chain == ["direct"])
        #expect(configuration.warnings.count == 3)
    }

    @Test("the environment wins over the file")
    func environmentWins() throws {
        let text = "hostname: a.example\nlisteners:\n  smtp: { port: 25 }\n"
        let environment = ["HIKYAKU_HOSTNAME": "b.example", "HIKYAKU_LISTENERS_SMTP_PORT": "2600"]
        let configuration = try self.load(text, environment)
        #expect(configuration.hostname == "b.example")
        #expect(configuration.listeners.map(\.port) == [2_600])
    }

    @Test("the names of the container that is replaced are understood, with a warning")
    func understandsPostfixNames() throws {
        let environment = ["POSTFIX_MYHOSTNAME": "mail.example.com", "POSTFIX_MYDOMAIN": "example.com"]
        let configuration = try self.load(nil, environment)
        #expect(configuration.hostname == "mail.example.com")
        #expect(configuration.domain == "example.com")
        #expect(configuration.warnings.count == 2)
    }

    struct Mistake: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let text: String
        var environment: [String: String] = [:]
        let expected: String
    }

    static let mistakes: [Mistake] = [
        Mistake(
            testDescription: "unknown key",
            text: "hostname: a\nlistners: {}",
            expected: "hikyaku.yaml:2: listners is no setting of Hikyaku; did you mean \"listeners\"?"
        ),
        Mistake(
            testDescription: "provider outside the chain",
            text: "chain: [direct, gmail]\nproviders:\n  direct: { kind: direct-mx }\n  gmial: { kind: direct-mx }",
            expected:
                "hikyaku.yaml:4: providers.gmial is not in the chain and nothing refers to it; did you mean \"gmail\"?"
        ),
        Mistake(
            testDescription: "unknown provider in the chain",
            text: "chain: [direct, sendgird]",
            expected: "chain: \"sendgird\" is not among the providers; did you mean \"sendgrid\"?"
        ),
        Mistake(
            testDescription: "wrong type",
            text: "listeners:\n  smtp:\n    port: abc",
            expected: "hikyaku.yaml:3: listeners.smtp.port: expected a number from 0 to 65535, found \"abc\""
        ),
        Mistake(
            testDescription: "duplicate key",
            text: "hostname: a\nhostname: b",
            expected: "stands here twice"
        ),
        Mistake(
            testDescription: "a written provider without its key",
            text: "chain: [sendgrid]\nproviders:\n  sendgrid: { sandbox: true }",
            expected: "providers.sendgrid.api-key: is missing"
        ),
        Mistake(
            testDescription: "port clash",
            text: "listeners:\n  a: { port: 25 }\n  b: { port: 25 }",
            expected: "both want 127.0.0.1 port 25"
        ),
        Mistake(
            testDescription: "unknown environment name",
            text: "hostname: a",
            environment: ["HIKYAKU_HOSTNAM": "x"],
            expected: "HIKYAKU_HOSTNAM: is no setting of Hikyaku; did you mean HIKYAKU_HOSTNAME?"
        ),
        Mistake(
            testDescription: "secret twice",
            text: "chain: [sendgrid]\nproviders:\n  sendgrid: { api-key: x, api-key-file: /nowhere }",
            expected: "keep one of them"
        ),
        Mistake(
            testDescription: "a password where a hash belongs",
            text: "users:\n  app: secret",
            expected: "hikyaku hash-password"
        ),
        Mistake(
            testDescription: "not YAML",
            text: "hostname: [a",
            expected: "not valid YAML"
        ),
        Mistake(
            testDescription: "nobody left to ask",
            text: "dns: { sources: [\"8.8.8.8\", \"tls://dns.quad9.net@9.9.9.9\"], public-resolvers: false }",
            expected: "names public resolvers only, which public-resolvers: false switches off"
        ),
        Mistake(
            testDescription: "a trusted server by name",
            text: "dns: { trust-ad: [loopback, localhost] }",
            expected: "expected loopback or an IP address such as 192.0.2.53, found \"localhost\""
        ),
        Mistake(
            testDescription: "a DNS source by name",
            text: "dns: { sources: [\"https://dns.google/dns-query\"] }",
            expected: "needs a literal address"
        ),
    ]

    @Test("each mistake is named with its line and what to do", arguments: mistakes)
    func complains(_ mistake: Mistake) {
        let complaint = self.complaint(mistake.text, mistake.environment)
        #expect(complaint.contains(mistake.expected), "\(complaint)")
    }

    @Test("all mistakes are told at once")
    func complainsOnce() {
        let text = "hostnme: a\nlog: { level: loud }\nretry: { first-delay: soon }"
        #expect(self.complaint(text).split(separator: "\n").count == 3)
    }

    @Test("no description, dump or effective configuration prints a secret")
    func hidesSecrets() throws {
        let text = """
            chain: [gmail, sendgrid]
            providers:
              gmail: { username: a@example.com, password: hunter2hunter2 }
              sendgrid: { api-key: SG.verysecret }
            """
        let configuration = try self.load(text)
        var dumped = ""
        dump(configuration, to: &dumped)
        for output in ["\(configuration)", String(reflecting: configuration), dumped, configuration.effectiveText] {
            #expect(!output.contains("hunter2"))
            #expect(!output.contains("verysecret"))
        }
    }
}

@Suite("Password hashes")
struct PasswordHashTests {
    @Test("match their password and no other, and survive being written down")
    func matches() throws {
        let hash = try PasswordHash(of: "correct horse")
        let again = try #require(PasswordHash(hash.description))
        #expect(again.matches("correct horse"))
        #expect(!again.matches("correct horse "))
        #expect(try PasswordHash(of: "correct horse") != hash, "the salt differs")
    }

    @Test(
        "refuses what is no hash, absurd costs included",
        arguments: ["", "secret", "$scrypt$ln=40,r=8,p=1$AAAA$AAAA", "$1$x$y"]
    )
    func refuses(_ text: String) {
        #expect(PasswordHash(text) == nil)
    }
}
