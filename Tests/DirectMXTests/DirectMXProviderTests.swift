import DNSProtocol
import Delivery
import DirectMX
import Logging
import MailModel
import NIOPosix
import SMTPClient
import Synchronization
import TestKit
import Testing

struct DirectMXProviderTests {
    private func provider(
        _ resolver: ScriptedResolver,
        port: Int,
        allowed: [String] = ["127.0.0.0/8"],
        heloName: String = "gateway.example",
        maximumAddresses: Int = 5
    ) -> DirectMXProvider {
        var configuration = DirectMXConfiguration(heloName: heloName)
        configuration.port = port
        configuration.maximumAddresses = maximumAddresses
        configuration.addressFilter = AddressFilter(
            allowed: allowed.compactMap { CIDRBlock($0) },
            own: [.v4(0x0808_0404), .v4(0x0A00_0009)]
        )
        let logger = Logger(label: "test")
        return DirectMXProvider(
            name: "direct",
            configuration: configuration,
            resolver: resolver,
            client: SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: logger),
            logger: logger
        )
    }

    private func attempt(_ provider: DirectMXProvider, to addresses: [String]) async -> AttemptReport {
        await provider.attempt(
            SampleMail.message(),
            to: SampleMail.recipients(addresses),
            deadline: .now + .seconds(20),
            beforeCommit: {}
        )
    }

    private func attempt(
        _ resolver: ScriptedResolver,
        port: Int = 1,
        to addresses: [String] = ["a@example.com"],
        allowed: [String] = ["127.0.0.0/8"],
        heloName: String = "gateway.example"
    ) async -> AttemptReport {
        await self.attempt(self.provider(resolver, port: port, allowed: allowed, heloName: heloName), to: addresses)
    }

    struct Zone: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var exchangers: Lookup<MailExchanger>?
        var hosts: [String: Lookup<IPAddress>] = [:]
        var persistence: Failure.Persistence
        var scope = Failure.Scope.destination
        var reason: Failure.Reason
        var status: String
    }

    @Test(
        "what the DNS says is told apart, and nothing is connected to",
        arguments: [
            Zone(
                testDescription: "MX cannot be asked",
                exchangers: .unavailable(.init("nobody answers")),
                persistence: .transient,
                reason: .dnsUnavailable,
                status: "4.4.3"
            ),
            Zone(testDescription: "NXDOMAIN", persistence: .permanent, reason: .noSuchDomain, status: "5.1.2"),
            Zone(
                testDescription: "null MX",
                exchangers: .exchangers(""),
                hosts: ["example.com": .hosts("127.0.0.1")],
                persistence: .permanent,
                reason: .nullMX,
                status: "5.1.10"
            ),
            Zone(
                testDescription: "no MX and no address",
                exchangers: .noData(timeToLive: .zero),
                hosts: ["example.com": .noData(timeToLive: .zero)],
                persistence: .permanent,
                reason: .noAddress,
                status: "5.4.4"
            ),
            Zone(
                testDescription: "one MX without address, one that cannot be asked",
                exchangers: .exchangers("mx1.example.com", "mx2.example.com"),
                hosts: ["mx2.example.com": .unavailable(.init("nobody answers"))],
                persistence: .transient,
                reason: .dnsUnavailable,
                status: "4.4.3"
            ),
            Zone(
                testDescription: "MX to a private address",
                exchangers: .exchangers("mx1.example.com"),
                hosts: ["mx1.example.com": .hosts("10.0.0.1", "::ffff:192.168.0.1", "64:ff9b::a00:1")],
                persistence: .permanent,
                scope: .capability,
                reason: .prohibitedAddress,
                status: "5.4.4"
            ),
            Zone(
                testDescription: "more exchangers than are looked at, the first ones without address",
                exchangers: .records(
                    (1...11).map { MailExchanger(preference: $0, host: "mx\($0).example.com") },
                    timeToLive: .seconds(300)
                ),
                hosts: ["mx11.example.com": .hosts("127.0.0.1")],
                persistence: .transient,
                reason: .timeout,
                status: "4.4.4"
            ),
            Zone(
                testDescription: "MX to ourselves",
                exchangers: .exchangers("mx1.example.com"),
                hosts: ["mx1.example.com": .hosts("8.8.4.4")],
                persistence: .permanent,
                scope: .capability,
                reason: .mailLoop,
                status: "5.4.6"
            ),
            Zone(
                testDescription: "MX to our own name, and one behind it",
                exchangers: .exchangers("Gateway.Example", "mx2.example.com"),
                hosts: ["mx2.example.com": .hosts("127.0.0.1")],
                persistence: .permanent,
                scope: .capability,
                reason: .mailLoop,
                status: "5.4.6"
            ),
            Zone(
                testDescription: "MX to our own address among others, which are tried",
                exchangers: .exchangers("mx1.example.com"),
                hosts: ["mx1.example.com": .hosts("127.0.0.1", "8.8.4.4")],
                persistence: .transient,
                reason: .connectionFailed,
                status: "4.4.1"
            ),
            Zone(
                testDescription: "MX to our own address alone, and one behind it",
                exchangers: .exchangers("mx1.example.com", "mx2.example.com"),
                hosts: ["mx1.example.com": .hosts("8.8.4.4"), "mx2.example.com": .hosts("127.0.0.1")],
                persistence: .permanent,
                scope: .capability,
                reason: .mailLoop,
                status: "5.4.6"
            ),
            Zone(
                testDescription: "MX to a private address that we have by chance, and a real one behind it",
                exchangers: .exchangers("mx1.example.com", "mx2.example.com"),
                hosts: ["mx1.example.com": .hosts("10.0.0.9"), "mx2.example.com": .hosts("127.0.0.1")],
                persistence: .transient,
                reason: .connectionFailed,
                status: "4.4.1"
            ),
            Zone(
                testDescription: "an MX that is down, and our own name behind it",
                exchangers: .exchangers("mx1.example.com", "gateway.example"),
                hosts: ["mx1.example.com": .hosts("127.0.0.1")],
                persistence: .transient,
                reason: .connectionFailed,
                status: "4.4.1"
            ),
            Zone(
                testDescription: "MX that is an address",
                exchangers: .exchangers("127.0.0.1"),
                persistence: .permanent,
                reason: .noAddress,
                status: "5.4.4"
            ),
            Zone(
                testDescription: "nothing listens",
                exchangers: .exchangers("mx1.example.com"),
                hosts: ["mx1.example.com": .hosts("127.0.0.1", "127.0.0.2")],
                persistence: .transient,
                reason: .connectionFailed,
                status: "4.4.1"
            ),
        ]
    )
    func zones(_ zone: Zone) async {
        let resolver = ScriptedResolver(
            exchangers: zone.exchangers.map { ["example.com": $0] } ?? [:],
            addresses: zone.hosts
        )
        let report = await self.attempt(resolver)
        let failure = report.outcomes[0]?.failure
        #expect(failure?.persistence == zone.persistence)
        #expect(failure?.reason == zone.reason)
        #expect(failure?.status.description == zone.status)
        #expect(failure?.scope == zone.scope)
        #expect(!report.evidence.resolution.isEmpty)
    }

    @Test("firstExchangerRefuses: the next host takes the message", arguments: ["554 5.7.1 no", "421 4.3.2 busy"])
    func firstExchangerRefuses(_ greeting: String) async throws {
        var script = FakeExchangerScript()
        script.once[.greeting] = [.reply(greeting)]
        try await FakeExchanger.run(script) { exchanger in
            let resolver = ScriptedResolver(
                exchangers: ["example.com": .exchangers("mx1.example.com", "mx2.example.com")],
                addresses: ["mx1.example.com": .hosts("127.0.0.1"), "mx2.example.com": .hosts("127.0.0.1")]
            )
            let report = await self.attempt(resolver, port: exchanger.port, to: ["a@example.com", "b@example.com"])
            #expect(report.outcomes.values.allSatisfy { $0.failure == nil })
            #expect(report.outcomes.count == 2)
            #expect(exchanger.record.messages.count == 1)
            #expect(report.evidence.remoteHost == "mx2.example.com")
            #expect(report.evidence.abandonedHosts.count == 1)
        }
    }

    @Test("of a mixed set only the good addresses are tried, and an address literal is no way around the filter")
    func mixedAddresses() async throws {
        try await FakeExchanger.run { exchanger in
            let resolver = ScriptedResolver(
                exchangers: ["example.com": .exchangers("mx1.example.com")],
                addresses: ["mx1.example.com": .hosts("10.0.0.1", "127.0.0.1", "::ffff:192.168.0.1")]
            )
            let to = ["a@example.com", "b@[127.0.0.2]", "c@[IPv6:::ffff:127.0.0.2]"]
            let report = await self.attempt(resolver, port: exchanger.port, to: to, allowed: ["127.0.0.1"])
            #expect(report.outcomes[0]?.failure == nil)
            #expect(report.evidence.abandonedHosts.isEmpty)
            #expect(report.outcomes[1]?.failure?.reason == .prohibitedAddress)
            #expect(report.outcomes[2]?.failure?.reason == .prohibitedAddress)
            #expect(exchanger.record.connections == 1)
        }
    }

    @Test("a domain without MX is its own exchanger, a literal needs no DNS, and each recipient has its outcome")
    func implicitAndLiteral() async throws {
        var script = FakeExchangerScript()
        script.recipients["b@example.com"] = "550 5.1.1 no such user"
        try await FakeExchanger.run(script) { exchanger in
            let resolver = ScriptedResolver(
                exchangers: ["example.com": .noData(timeToLive: .zero)],
                addresses: ["example.com": .hosts("127.0.0.1")],
                staleAge: .seconds(7300)
            )
            let to = ["a@example.com", "b@example.com", "c@[127.0.0.1]"]
            let report = await self.attempt(resolver, port: exchanger.port, to: to)
            #expect(report.outcomes[0]?.failure == nil)
            #expect(report.outcomes[1]?.failure?.reason == .recipientRefused)
            #expect(report.outcomes[2] != nil && report.outcomes[2]?.failure == nil)
            #expect(report.evidence.resolution.contains { $0.hasSuffix("(stale, 2 h old)") })
            #expect(resolver.questions.allSatisfy { !$0.contains("127.0.0.1") })
        }
    }

    struct Loop: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// Of the first exchanger and the second; `127.0.0.1` greets with our own name, `127.0.0.2` with another one.
        var hosts: [Lookup<IPAddress>]
        var maximumAddresses = 5
        /// Nil where the message is taken.
        var persistence: Failure.Persistence?
        var scope = Failure.Scope.capability
        var reason = Failure.Reason.mailLoop
    }

    @Test(
        "a host that greets with our own name is a mail loop, and never asked twice; another host or way may take the mail",
        arguments: [
            Loop(testDescription: "alone", hosts: [.hosts("127.0.0.1")], persistence: .permanent),
            Loop(testDescription: "another exchanger", hosts: [.hosts("127.0.0.1"), .hosts("127.0.0.2")]),
            Loop(testDescription: "another address", hosts: [.hosts("127.0.0.1", "127.0.0.2")]),
            Loop(
                testDescription: "the same address under two names",
                hosts: [.hosts("127.0.0.1"), .hosts("127.0.0.1")],
                persistence: .permanent
            ),
            Loop(
                testDescription: "another exchanger without address",
                hosts: [.hosts("127.0.0.1"), .noData(timeToLive: .zero)],
                persistence: .permanent
            ),
            Loop(
                testDescription: "another exchanger that is down",
                hosts: [.hosts("127.0.0.1"), .hosts("127.0.0.3")],
                persistence: .transient,
                scope: .destination,
                reason: .connectionFailed
            ),
            Loop(
                testDescription: "another exchanger that is not looked at any more",
                hosts: [.hosts("127.0.0.1"), .hosts("127.0.0.2")],
                maximumAddresses: 1,
                persistence: .transient,
                scope: .destination,
                reason: .timeout
            ),
        ]
    )
    func loop(_ loop: Loop) async throws {
        var script = FakeExchangerScript()
        script.greeting = "220 Gateway.Example ESMTP"
        try await FakeExchanger.run(script) { ourselves in
            try await FakeExchanger.run(address: "127.0.0.2", port: ourselves.port) { other in
                let names = (1...loop.hosts.count).map { "mx\($0).example.com" }
                let exchangers = names.enumerated().map { MailExchanger(preference: UInt16($0), host: $1) }
                let resolver = ScriptedResolver(
                    exchangers: ["example.com": .records(exchangers, timeToLive: .seconds(1))],
                    addresses: Dictionary(zip(names, loop.hosts)) { first, _ in first }
                )
                let provider = self.provider(resolver, port: other.port, maximumAddresses: loop.maximumAddresses)
                let failure = await self.attempt(provider, to: ["a@example.com"]).outcomes[0]?.failure
                #expect(failure?.persistence == loop.persistence)
                #expect(failure.map { $0.scope == loop.scope && $0.reason == loop.reason } ?? true, "\(failure as Any)")
                #expect(ourselves.record.connections == 1 && ourselves.record.messages.isEmpty)
                #expect(other.record.messages.count == (loop.persistence == nil ? 1 : 0))
            }
        }
    }

    @Test("hundreds of exchangers cost a bounded number of tries")
    func manyExchangers() async {
        let names = (0..<200).map { "mx\($0).example.com" }
        let exchangers = names.map { MailExchanger(preference: 10, host: $0) }
        let addresses = (1...20).map { IPAddress.v4(0x7F00_0100 + UInt32($0)) }
        let resolver = ScriptedResolver(
            exchangers: ["example.com": .records(exchangers, timeToLive: .seconds(1))],
            addresses: Dictionary(
                uniqueKeysWithValues: names.map { ($0, .records(addresses, timeToLive: .seconds(1))) }
            )
        )
        let report = await self.attempt(resolver)
        #expect(report.outcomes[0]?.failure?.reason == .connectionFailed)
        #expect(report.evidence.abandonedHosts.count == 5)
    }

    @Test("an internationalised domain is asked as A-labels (RFC 3492 §7.1)")
    func aLabels() async {
        let resolver = ScriptedResolver()
        _ = await self.attempt(resolver, to: ["a@Bücher.example", "b@飛脚.jp"])
        #expect(Set(resolver.questions) == ["MX xn--bcher-kva.example", "MX xn--w40al00c.jp"])
    }

    @Test("a Unicode domain alone needs no SMTPUTF8: it goes as A-labels")
    func unicodeDomain() async throws {
        var script = FakeExchangerScript()
        script.extensions = ["PIPELINING"]
        try await FakeExchanger.run(script) { exchanger in
            let resolver = ScriptedResolver(
                exchangers: ["xn--bcher-kva.example": .exchangers("mx1.example.com")],
                addresses: ["mx1.example.com": .hosts("127.0.0.1")]
            )
            let report = await self.attempt(resolver, port: exchanger.port, to: ["a@Bücher.example"])
            #expect(report.outcomes[0]?.failure == nil)
            #expect(exchanger.record.messages.map(\.recipients) == [["RCPT TO:<a@xn--bcher-kva.example>"]])
        }
    }

    @Test("a Unicode local part at a host without SMTPUTF8 cannot be carried there, which is known at once")
    func unicodeLocalPart() async throws {
        var script = FakeExchangerScript()
        script.extensions = ["PIPELINING"]
        try await FakeExchanger.run(script) { exchanger in
            let resolver = ScriptedResolver(
                exchangers: ["example.com": .exchangers("mx1.example.com", "mx2.example.com")],
                addresses: ["mx1.example.com": .hosts("127.0.0.1"), "mx2.example.com": .hosts("127.0.0.1")]
            )
            let report = await self.attempt(resolver, port: exchanger.port, to: ["用户@example.com"])
            let failure = try #require(report.outcomes[0]?.failure)
            #expect((failure.persistence, failure.scope) == (.permanent, .capability))
            #expect(failure.status.description == "5.6.7")
            #expect(!exchanger.record.commands.contains { $0.hasPrefix("RCPT") })
        }
    }

    @Test("of hosts with one preference, the one that a connection is open to is asked again")
    func reusesConnections() async throws {
        try await FakeExchanger.run { exchanger in
            let names = (1...8).map { "mx\($0).example.com" }
            let resolver = ScriptedResolver(
                exchangers: [
                    "example.com": .records(names.map { .init(preference: 10, host: $0) }, timeToLive: .seconds(1))
                ],
                addresses: Dictionary(uniqueKeysWithValues: names.map { ($0, .hosts("127.0.0.1")) })
            )
            let provider = self.provider(resolver, port: exchanger.port)
            for _ in 0..<10 {
                let report = await self.attempt(provider, to: ["a@example.com"])
                #expect(report.outcomes[0]?.failure == nil)
            }
            #expect(exchanger.record.connections == 1)
            #expect(exchanger.record.messages.count == 10)
        }
    }
}
