import Gateway
import Testing

@Suite("The configuration in force, written down")
struct EffectiveConfigurationTests {
    /// Every key that there is, none with its default; secrets apart, which are not printed.
    private static let everything = """
        hostname: gw.example.org
        domain: example.org
        data-directory: /srv/hikyaku
        control-socket: /run/hikyaku.sock
        shutdown-grace: 9s
        retention: 15d
        retention-size: 3000000000
        keep-content: true

        listeners:
          in:
            address: ["192.0.2.1", "2001:db8::1"]
            port: 2526
            tls: starttls
            auth: optional
            auth-without-tls: true
            allow: ["192.0.2.0/24"]
            certificate-file: /srv/tls.crt
            key-file: /srv/tls.key

        chain: [straight, first, second, sendgrid, mailgun]

        providers:
          straight:
            kind: direct-mx
            port: 26
            tls: none
            dane: false
            mta-sts: false
            ca-file: /srv/roots.pem
            allow-networks: ["198.51.100.0/24"]
            connect-timeout: 11s
          first:
            kind: smarthost
            host: relay.example.org
            port: 466
            tls: implicit
            verify-certificate: false
            tls-name: tls.example.org
            ca-file: /srv/ca.pem
            auth-without-tls: true
            connections: 11
            connect-timeout: 12s
          second:
            kind: gmail
            host: smtp2.example.org
            port: 588
            tls: starttls
            verify-certificate: true
            auth-without-tls: false
            connections: 12
            connect-timeout: 13s
            username: a@example.org
            token-file: /srv/token
          sendgrid:
            kind: sendgrid
            sandbox: true
            region: eu
            timeout: 61s
            base-url: https://192.0.2.8
          mailgun:
            kind: mailgun
            test-mode: true
            domain: mg.example.org
            region: eu
            timeout: 62s
            base-url: https://192.0.2.9

        dns:
          sources: ["192.0.2.53", "https://dns.example@192.0.2.54/q"]
          public-resolvers: false
          resolv-conf: /srv/resolv.conf
          source-timeout: 1600ms
          lookup-timeout: 6s
          head-start: 301ms
          serve-stale: 8d
          believe-lone-negative: true
          caution: true
          trust-ad: ["loopback", "192.0.2.53"]
          ask-validators: never
          hosts:
            a.example.org: ["192.0.2.1", "2001:db8::1"]

        doctor:
          test-domain: example.org
          port-targets: ["relay.example.org:587", "[2001:db8::1]:465"]
          public-address: ["192.0.2.9"]
          dkim-selectors: ["s9"]
          compare-libc: false
          watch: false

        retry:
          first-delay: 31s
          max-delay: 31m
          outage-delay: 61s
          ambiguous-delay: 62s
          fallback-after: 3m
          expire-after: 5d
          attempt-timeout: 6m
          breaker-delay: 11s
          breaker-max-delay: 6m
          on-ambiguous: hold

        limits:
          message-size: 1000
          recipients: 1001
          connections: 4097
          connections-per-address: 1002
          memory: 67108865
          auth-failures: 21
          auth-block: 11m
          hello-timeout: 61s
          idle-timeout: 6m
          content-grace: 7m
          concurrency: 201
          per-destination: 21
          per-destination-start: 6
          allow-api-networks: ["192.0.2.0/24"]

        log:
          format: json
          level: debug
        """

    private func load(_ text: String) throws -> GatewayConfiguration {
        let environment = ["SENDGRID_API_KEY": "x", "MAILGUN_API_KEY": "x"]
        return try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: environment)
    }

    @Test("every key that can be written is shown again with its value")
    func showsEverything() throws {
        let shown = try self.load(Self.everything).effectiveText.split(separator: "\n").filter {
            !$0.contains(": # set")
        }
        let written = Self.everything.split(separator: "\n")
        #expect(written.filter { !shown.contains($0) }.map(String.init) == [])
        #expect(shown.filter { !written.contains($0) }.map(String.init) == [])
    }

    @Test("what is shown is understood again, and means the same", arguments: [everything, "hostname: a"])
    func isUnderstoodAgain(_ text: String) throws {
        let shown = try self.load(text).effectiveText
        #expect(try self.load(shown).effectiveText == shown)
    }

    @Test("values that YAML would read otherwise are quoted")
    func quotes() throws {
        let text = """
            hostname: a
            data-directory: "/srv/a b #c"
            chain: [relay]
            providers:
              relay: { kind: smarthost, host: "2001:db8::", ca-file: "a: b", tls-name: "x\\"y" }
            dns: { hosts: { "a.example.org": "2001:db8::1" } }
            """
        let once = try self.load(text)
        let again = try self.load(once.effectiveText)
        #expect(again.dataDirectory == "/srv/a b #c")
        #expect(again.dns.hosts == once.dns.hosts)
        guard case .smarthost(let relay)? = again.providers.first?.kind else {
            Issue.record("relay is a smarthost")
            return
        }
        #expect([relay.host, relay.caFile, relay.tlsName] == ["2001:db8::", "a: b", "x\"y"])
    }
}
