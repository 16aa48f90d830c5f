import DNSProtocol
import Delivery
import Foundation
import Logging
import MailModel
import NIOPosix
import SMTPClient
import SMTPProtocol
import Smarthost
import TestKit
import Testing

struct SmarthostProviderTests {
    private func attempt(
        _ resolver: ScriptedResolver,
        _ configuration: SmarthostConfiguration,
        beforeCommit: @escaping @Sendable () async throws -> Void = {}
    ) async -> AttemptReport {
        let logger = Logger(label: "test")
        let provider = SmarthostProvider(
            name: "relay",
            configuration: configuration,
            resolver: resolver,
            client: SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: logger),
            logger: logger
        )
        return await provider.attempt(
            SampleMail.message(),
            to: SampleMail.recipients(["a@example.com", "b@example.net"]),
            deadline: .now + .seconds(20),
            beforeCommit: beforeCommit
        )
    }

    private let resolver = ScriptedResolver(addresses: ["smtp.example.test": .hosts("127.0.0.1")])

    private func configuration(port: Int) -> SmarthostConfiguration {
        SmarthostConfiguration(
            host: "smtp.example.test",
            port: port,
            tls: .required(.startTLS, .unverified),
            credentials: SMTPCredentials(username: "app", password: "marked-password"),
            heloName: "gateway.example"
        )
    }

    @Test("all recipients go in one transaction after a login over TLS, and the evidence says how")
    func delivers() async throws {
        var script = FakeExchangerScript()
        script.offersStartTLS = true
        script.mechanisms = ["LOGIN", "PLAIN"]
        try await FakeExchanger.run(script) { exchanger in
            let report = await self.attempt(self.resolver, self.configuration(port: exchanger.port))
            #expect(report.outcomes.count == 2)
            #expect(report.outcomes.values.allSatisfy { $0.failure == nil })
            #expect(exchanger.record.messages.map(\.recipients.count) == [2])
            let evidence = report.evidence
            #expect(evidence.remoteHost == "smtp.example.test")
            #expect(evidence.remoteAddress == "127.0.0.1:\(exchanger.port)")
            #expect(evidence.tls == "TLSv1.3 unverified")
            #expect(evidence.authentication == "PLAIN")
            #expect(evidence.timings.map(\.stage).contains(.auth))
            #expect(!"\(report)".contains("marked-password"))
        }
    }

    @Test("a wrong password closes the way, and neither reply nor record quotes it")
    func wrongPassword() async throws {
        var script = FakeExchangerScript()
        script.offersStartTLS = true
        script.mechanisms = ["PLAIN"]
        script.authReplies = ["535 5.7.8 Username and Password not accepted"]
        try await FakeExchanger.run(script) { exchanger in
            let report = await self.attempt(self.resolver, self.configuration(port: exchanger.port))
            let failure = report.outcomes[1]?.failure
            #expect(failure?.scope == .provider)
            #expect(failure?.reason == .authenticationFailed)
            #expect(failure?.stage == .auth)
            #expect(!"\(report)".contains("marked-password"))
        }
    }

    @Test("a token file that is missing or empty closes this way until it is back, and holds no mail up")
    func unreadableToken() async throws {
        let directory = FileManager.default.temporaryDirectory
        let empty = directory.appendingPathComponent("token-\(UUID().uuidString)")
        try Data("\n".utf8).write(to: empty)
        defer {
            try? FileManager.default.removeItem(at: empty)
        }
        for path in [empty.path, directory.appendingPathComponent("missing-\(UUID().uuidString)").path] {
            var configuration = self.configuration(port: 1)
            configuration.credentials = SMTPCredentials(username: "app", file: path, mechanisms: [.xoauth2])
            let failure = await self.attempt(self.resolver, configuration).outcomes[0]?.failure
            #expect(failure?.persistence == .transient && failure?.scope == .provider)
            #expect(failure?.reason == .misconfigured && failure?.stage == .auth)
            #expect(failure?.text == "smtp.example.test: cannot read the secret of app")
        }
    }

    @Test("resolverSilent: the failure is the way's, at once, and says who was asked")
    func resolverSilent() async {
        let resolver = ScriptedResolver(addresses: ["smtp.example.test": .unavailable(.init("nobody answers"))])
        let report = await self.attempt(resolver, self.configuration(port: 587))
        let failure = report.outcomes[0]?.failure
        #expect(failure?.persistence == .transient)
        #expect(failure?.scope == .provider)
        #expect(failure?.stage == .resolve)
        #expect(failure?.status.description == "4.4.3")
        #expect(report.evidence.resolution.count == 1)
    }

    @Test("a smarthost without address in the DNS closes the way, and the operator reads where names are pinned")
    func hostWithoutAddress() async {
        let resolver = ScriptedResolver(addresses: ["smtp.example.test": .noSuchName(timeToLive: .zero)])
        let failure = await self.attempt(resolver, self.configuration(port: 587)).outcomes[0]?.failure
        #expect(failure?.persistence == .transient && failure?.scope == .provider)
        #expect(failure?.text.hasPrefix("smtp.example.test has no address") == true)
        #expect(failure?.text.contains("dns.hosts") == true)
    }

    @Test("when the attempt cannot be noted, the content is not sent")
    func storeRefuses() async throws {
        struct StoreIsFull: Error {}
        try await FakeExchanger.run { exchanger in
            var configuration = self.configuration(port: exchanger.port)
            configuration.tls = .none
            configuration.credentials = nil
            let report = await self.attempt(self.resolver, configuration) { throw StoreIsFull() }
            #expect(report.outcomes[0]?.failure?.scope == .local)
            #expect(exchanger.record.messages.isEmpty)
        }
    }

    @Test("a preset keeps Gmail's limits")
    func gmail() {
        let credentials = SMTPCredentials(username: "a@gmail.com", password: "x")
        let gmail = SmarthostConfiguration.gmail(credentials: credentials, heloName: "gateway.example")
        #expect(gmail.host == "smtp.gmail.com")
        #expect(gmail.port == 587)
        #expect(gmail.tls == .required(.startTLS, .verified))
        #expect(gmail.limits.recipientsPerTransaction == 100)
        #expect(gmail.limits.idle == .seconds(300))
    }

    // MARK: Probing

    private func probe(_ configuration: SmarthostConfiguration) async -> ProviderProbe? {
        let logger = Logger(label: "test")
        let provider = SmarthostProvider(
            name: "relay",
            configuration: configuration,
            resolver: self.resolver,
            client: SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: logger),
            logger: logger
        )
        return await provider.probe(until: .now + .seconds(20))
    }

    @Test("a probe logs in and leaves without a transaction")
    func probes() async throws {
        var script = FakeExchangerScript()
        script.offersStartTLS = true
        script.mechanisms = ["PLAIN"]
        try await FakeExchanger.run(script) { exchanger in
            let probe = await self.probe(self.configuration(port: exchanger.port))
            #expect(probe?.failure == nil)
            #expect(probe?.text == "TLSv1.3 unverified, logged in with AUTH PLAIN")
            #expect(probe?.host.hasSuffix("[127.0.0.1]:\(exchanger.port)") == true)
            #expect(exchanger.record.messages.isEmpty)
        }
    }

    @Test("a probe says why the relay would not take mail, and no password")
    func probeFails() async throws {
        var script = FakeExchangerScript()
        script.offersStartTLS = true
        script.mechanisms = ["PLAIN"]
        script.authReplies = ["535 5.7.8 no marked-password"]
        try await FakeExchanger.run(script) { exchanger in
            let probe = await self.probe(self.configuration(port: exchanger.port))
            #expect(probe?.failure?.reason == .authenticationFailed)
        }
        var unknown = self.configuration(port: 1)
        unknown.host = "nowhere.example.test"
        #expect(await self.probe(unknown)?.failure?.stage == .resolve)
    }
}
