import DNSProtocol
import Delivery
import HTTPTransport
import Logging
import MailModel
import NIOPosix
import SMTPClient
import TestKit
import Testing

@testable import DirectMX

@Suite("A delivery under the TLS policies of the recipient's domain")
struct SecureDeliveryTests {
    private let memory = SecurityMemory()
    private let material: TLSMaterial

    init() throws {
        self.material = try TLSMaterial.shared.get()
    }

    /// A zone with one exchanger, `mx.example.test`, on loopback.
    private func resolver(
        tlsa: (UInt8, String)? = nil,
        isAnnounced: Bool = false,
        hosts: [String] = ["mx.example.test"],
        addresses: [String] = ["127.0.0.1"],
        port: Int
    ) throws -> ScriptedResolver {
        let owner = "_\(port)._tcp.mx.example.test"
        let associations = try tlsa.map { usage, file in
            [TLSAssociation(usage: usage, selector: 1, matchingType: 1, data: try self.material.octets(file))]
        }
        let exchangers = hosts.enumerated().map { MailExchanger(preference: UInt16($0.offset), host: $0.element) }
        let records = Lookup.records(addresses.compactMap { IPAddress($0) }, timeToLive: .seconds(60))
        let addresses = hosts.map { ($0, records) }
        return ScriptedResolver(
            exchangers: ["example.test": .records(exchangers, timeToLive: .seconds(60))],
            addresses: Dictionary(addresses) { first, _ in first }
                .merging(["mta-sts.example.test": .hosts("192.0.2.1")]) { first, _ in first },
            texts: isAnnounced ? ["_mta-sts.example.test": .announced("a1")] : [:],
            associations: associations.map { [owner: .records($0, timeToLive: .seconds(60))] } ?? [:],
            secureNames: tlsa == nil ? [] : Set(hosts + ["example.test", owner])
        )
    }

    private func attempt(
        _ resolver: ScriptedResolver,
        port: Int,
        server: PolicyServer = PolicyServer(mode: "enforce", mx: "mx.example.test"),
        parameters: MailParameters = .init()
    ) async throws -> AttemptReport {
        let memory = self.memory
        let now = { @Sendable in memory.now }
        var configuration = DirectMXConfiguration(heloName: "gateway.example")
        configuration.port = port
        configuration.addressFilter = AddressFilter(allowed: [CIDRBlock("127.0.0.0/8")].compactMap(\.self))
        configuration.security = TransportSecurity(
            usesDANE: true,
            policies: MTASTSPolicies(resolver: resolver, client: server, archive: memory, now: now),
            clearText: ClearTextMemory(archive: memory, now: now),
            archive: memory,
            now: now
        )
        let sample = SampleMail.message()
        let message = QueuedMessage(
            id: sample.id,
            reversePath: sample.reversePath,
            parameters: parameters,
            arrivedAt: sample.arrivedAt,
            expiresAt: sample.expiresAt,
            messageID: sample.messageID,
            subject: sample.subject,
            content: sample.content
        )
        var report = AttemptReport(outcomes: [:])
        try await self.material.withFile("root") { roots in
            configuration.trustRootsFile = roots
            let logger = Logger(label: "test")
            let client = SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: logger)
            let provider = DirectMXProvider(
                name: "direct",
                configuration: configuration,
                resolver: resolver,
                client: client,
                logger: logger
            )
            report = await provider.attempt(
                message,
                to: SampleMail.recipients(["a@example.test"]),
                deadline: .now + .seconds(20),
                beforeCommit: {}
            )
            await client.shutDown()
        }
        return report
    }

    private func script(_ chain: String, key: String) throws -> FakeExchangerScript {
        var script = FakeExchangerScript()
        script.offersStartTLS = true
        script.certificates = (chain, try self.material.key(key))
        return script
    }

    private func good() throws -> FakeExchangerScript {
        try self.script(self.material.chain("leaf", "intermediate"), key: "leaf")
    }

    @Test("DANE: delivered where the records match, and counted")
    func daneGood() async throws {
        let script = try self.script(self.material.chain("selfsigned"), key: "selfsigned")
        try await FakeExchanger.run(script) { exchanger in
            let resolver = try self.resolver(tlsa: (3, "selfsigned.spki.sha256"), port: exchanger.port)
            let report = try await self.attempt(resolver, port: exchanger.port)
            #expect(report.outcomes[0] != nil && report.outcomes[0]?.failure == nil)
            #expect(report.evidence.tls == "TLSv1.3 dane")
            #expect(report.evidence.resolution.contains { $0.hasPrefix("TLSA ") })
            let result = try #require(self.memory.results.first)
            #expect(self.memory.results.count == 1)
            #expect(result.kind == .success && result.policy == .tlsa && result.domain == "example.test")
            #expect(result.exchanger == "mx.example.test" && result.receivingAddress == "127.0.0.1")
            #expect(result.sendingAddress == "127.0.0.1" && result.policyText.hasPrefix("3 1 1 "))
        }
    }

    @Test("DANE: the message waits where they do not match or cannot be asked, and never goes in clear text")
    func daneBad() async throws {
        var stripped = try self.good()
        stripped.offersStartTLS = false
        for (script, file, kind, reason) in [
            (try self.good(), "root.spki.sha256", TLSResult.Kind.validationFailure, Failure.Reason.tlsFailed),
            (stripped, "leaf.spki.sha256", .startTLSNotSupported, .tlsFailed),
        ] {
            try await FakeExchanger.run(script) { exchanger in
                let resolver = try self.resolver(tlsa: (3, file), port: exchanger.port)
                let failure = try await self.attempt(resolver, port: exchanger.port).outcomes[0]?.failure
                #expect(failure?.persistence == .transient && failure?.reason == reason)
                #expect(failure?.text.hasSuffix("(dane)") == true, "\(failure?.text ?? "")")
                #expect(self.memory.results.last?.kind == kind)
                #expect(exchanger.record.messages.isEmpty)
                #expect(!exchanger.record.commands.contains { $0.hasPrefix("MAIL") })
            }
        }
    }

    @Test("DANE: a TLSA question that nobody answers makes the host unusable, and the next one is tried")
    func daneUnavailable() async throws {
        try await FakeExchanger.run(self.good()) { exchanger in
            let port = exchanger.port
            let resolver = ScriptedResolver(
                exchangers: ["example.test": .exchangers("mx.example.test", "mx2.example.test")],
                addresses: ["mx.example.test": .hosts("127.0.0.1"), "mx2.example.test": .hosts("127.0.0.1")],
                associations: [
                    "_\(port)._tcp.mx.example.test": .unavailable(.init("127.0.0.1 SERVFAIL")),
                    "_\(port)._tcp.mx2.example.test": .noData(timeToLive: .zero),
                ],
                secureNames: ["example.test", "mx.example.test", "mx2.example.test"]
            )
            let report = try await self.attempt(resolver, port: port)
            #expect(report.outcomes[0] != nil && report.outcomes[0]?.failure == nil)
            #expect(report.evidence.remoteHost == "mx2.example.test")
            #expect(self.memory.results.map(\.kind) == [.dnssecInvalid, .success])
            let alone = ScriptedResolver(
                exchangers: ["example.test": .exchangers("mx.example.test")],
                addresses: ["mx.example.test": .hosts("127.0.0.1")],
                associations: ["_\(port)._tcp.mx.example.test": .unavailable(.init("127.0.0.1 SERVFAIL"))],
                secureNames: ["example.test", "mx.example.test"]
            )
            let failure = try await self.attempt(alone, port: port).outcomes[0]?.failure
            #expect(failure?.persistence == .transient && failure?.status.description == "4.4.3")
            #expect(exchanger.record.messages.count == 1)
        }
    }

    @Test("DANE is not for answers that nobody validated")
    func daneInsecure() async throws {
        try await FakeExchanger.run(self.good()) { exchanger in
            let owner = "_\(exchanger.port)._tcp.mx.example.test"
            let wrong = TLSAssociation(usage: 3, selector: 1, matchingType: 1, data: [UInt8](repeating: 0, count: 32))
            for secure: Set<String> in [["mx.example.test", owner], ["example.test", owner]] {
                let resolver = ScriptedResolver(
                    exchangers: ["example.test": .exchangers("mx.example.test")],
                    addresses: ["mx.example.test": .hosts("127.0.0.1")],
                    associations: [owner: .records([wrong], timeToLive: .zero)],
                    secureNames: secure
                )
                let report = try await self.attempt(resolver, port: exchanger.port)
                #expect(report.outcomes[0]?.failure == nil)
                #expect(report.evidence.tls == "TLSv1.3 unverified")
                #expect(!resolver.questions.contains { $0.hasPrefix("TLSA") })
            }
        }
    }

    @Test("DANE: records kept from better days bind while nobody answers, and their lack holds nothing up")
    func daneStale() async throws {
        try await FakeExchanger.run(self.good()) { exchanger in
            let owner = "_\(exchanger.port)._tcp.mx.example.test"
            for (file, isDelivered) in [("leaf.spki.sha256", true), ("root.spki.sha256", false), (nil, true)] {
                let data = try file.map { try self.material.octets($0) }
                let kept = data.map { TLSAssociation(usage: 3, selector: 1, matchingType: 1, data: $0) }
                let resolver = ScriptedResolver(
                    exchangers: ["example.test": .exchangers("mx.example.test")],
                    addresses: ["mx.example.test": .hosts("127.0.0.1")],
                    associations: [
                        owner: kept.map { .records([$0], timeToLive: .zero) } ?? .unavailable(.init("nobody"))
                    ],
                    staleAge: .seconds(3_600)
                )
                let report = try await self.attempt(resolver, port: exchanger.port)
                #expect((report.outcomes[0]?.failure == nil) == isDelivered)
                #expect(
                    report.evidence.tls
                        == (file == nil ? "TLSv1.3 unverified" : isDelivered ? "TLSv1.3 dane" : "TLS failed, dane")
                )
            }
        }
    }

    struct Enforced: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var mode = "enforce"
        var mx = "mx.example.test"
        var certificates = ["leaf", "intermediate"]
        var offersStartTLS = true
        /// How the attempt's record tells it; nil: refused.
        var tls: String?
        var isDelivered = true
        var kinds: [TLSResult.Kind]
        var text = ""
    }

    @Test(
        "MTA-STS: what is enforced holds mail back, what is tested is told",
        arguments: [
            Enforced(testDescription: "good", tls: "TLSv1.3 verified, mta-sts enforce", kinds: [.success]),
            Enforced(
                testDescription: "another host",
                mx: "mx2.example.test",
                isDelivered: false,
                kinds: [.validationFailure],
                text: ": not among the hosts of the MTA-STS policy of example.test (enforce)"
            ),
            Enforced(
                testDescription: "another name",
                certificates: ["wrong-name", "intermediate"],
                isDelivered: false,
                kinds: [.certificateHostMismatch],
                text: "bears another name: mx.example.test is wanted (mta-sts enforce)"
            ),
            Enforced(
                testDescription: "unknown issuer",
                certificates: ["selfsigned"],
                isDelivered: false,
                kinds: [.certificateNotTrusted],
                text: "(mta-sts enforce)"
            ),
            Enforced(
                testDescription: "expired",
                certificates: ["expired", "intermediate"],
                isDelivered: false,
                kinds: [.certificateExpired],
                text: "(mta-sts enforce)"
            ),
            Enforced(
                testDescription: "no STARTTLS",
                offersStartTLS: false,
                isDelivered: false,
                kinds: [.startTLSNotSupported],
                text: "STARTTLS is not offered (mta-sts enforce)"
            ),
            Enforced(
                testDescription: "tested and good",
                mode: "testing",
                tls: "TLSv1.3 verified, mta-sts testing",
                kinds: [.success]
            ),
            Enforced(
                testDescription: "tested, unknown issuer",
                mode: "testing",
                certificates: ["selfsigned"],
                tls: "TLSv1.3 unverified, mta-sts testing",
                kinds: [.certificateNotTrusted]
            ),
            Enforced(
                testDescription: "tested, no STARTTLS",
                mode: "testing",
                offersStartTLS: false,
                tls: nil,
                kinds: [.startTLSNotSupported]
            ),
            Enforced(
                testDescription: "tested, another host",
                mode: "testing",
                mx: "mx2.example.test",
                tls: "TLSv1.3 unverified, mta-sts testing",
                kinds: [.validationFailure]
            ),
            Enforced(testDescription: "given up", mode: "none", tls: "TLSv1.3 unverified", kinds: [.success]),
        ]
    )
    func mtaSTS(_ row: Enforced) async throws {
        let chain = try row.certificates.map { try self.material.chain($0) }.joined()
        var script = try self.script(chain, key: row.certificates[0])
        script.offersStartTLS = row.offersStartTLS
        try await FakeExchanger.run(script) { exchanger in
            let resolver = try self.resolver(isAnnounced: true, port: exchanger.port)
            let server = PolicyServer(mode: row.mode, mx: row.mx)
            let report = try await self.attempt(resolver, port: exchanger.port, server: server)
            let failure = report.outcomes[0]?.failure
            #expect((failure == nil) == row.isDelivered, "\(String(describing: failure))")
            #expect(exchanger.record.messages.count == (row.isDelivered ? 1 : 0))
            #expect(self.memory.results.map(\.kind) == row.kinds)
            #expect(row.isDelivered ? report.evidence.tls == row.tls : failure?.text.hasSuffix(row.text) == true)
            #expect(failure.map { $0.persistence == .transient && $0.reason == .tlsFailed } ?? true)
            #expect(report.evidence.resolution.contains("MTA-STS example.test: \(row.mode), fetched"))
        }
    }

    @Test("a policy that cannot be fetched is counted, and mail goes as without one")
    func fetchFails() async throws {
        try await FakeExchanger.run(self.good()) { exchanger in
            let resolver = try self.resolver(isAnnounced: true, port: exchanger.port)
            let report = try await self.attempt(
                resolver,
                port: exchanger.port,
                server: PolicyServer(PolicyServer.refusal)
            )
            #expect(report.outcomes[0]?.failure == nil)
            #expect(self.memory.results.map(\.kind) == [.stsPolicyFetchError, .success])
            #expect(self.memory.results.map(\.policy) == [.sts, .none])
        }
    }

    @Test("a host whose TLS broke is sent to in clear text for a while, across a restart, and then tried again")
    func clearTextMemory() async throws {
        var script = try self.good()
        script.breaksHandshake = true
        try await FakeExchanger.run(script) { exchanger in
            let resolver = try self.resolver(port: exchanger.port)
            for round in 1...3 {
                let report = try await self.attempt(resolver, port: exchanger.port)
                #expect(report.outcomes[0]?.failure == nil)
                #expect(report.evidence.tls == nil)
                #expect(exchanger.record.commands.count { $0 == "STARTTLS" } == (round < 3 ? 1 : 2))
                if round == 2 {
                    #expect(
                        report.evidence.abandonedHosts.contains {
                            $0.hasPrefix(
                                "mx.example.test[127.0.0.1] over TLS, which failed lately: TLS failed: wrong version"
                            )
                        }
                    )
                    self.memory.advance(by: .seconds(7 * 3_600))
                }
            }
            #expect(self.memory.results.map(\.kind) == [.validationFailure, .validationFailure])
        }
    }

    @Test("an address whose TLS broke is left for last, the host's others are asked for TLS", arguments: [true, false])
    func remembersAddresses(_ takesOther: Bool) async throws {
        var broken = try self.good()
        broken.breaksHandshake = true
        var other = try self.good()
        if !takesOther {
            other.once = [.greeting: [.drop]]
        }
        self.memory.keep(
            ClearTextHost(
                host: "mx.example.test",
                address: .v4(0x7F00_0001),
                until: self.memory.now + .seconds(3_600),
                reason: "it broke"
            )
        )
        try await FakeExchanger.run(broken) { first in
            try await FakeExchanger.run(other, address: "127.0.0.2", port: first.port) { second in
                let resolver = try self.resolver(addresses: ["127.0.0.1", "127.0.0.2"], port: first.port)
                let report = try await self.attempt(resolver, port: first.port)
                #expect(report.outcomes[0] != nil && report.outcomes[0]?.failure == nil)
                #expect(report.evidence.tls == (takesOther ? "TLSv1.3 unverified" : nil))
                #expect(second.record.messages.count == (takesOther ? 1 : 0))
                #expect(first.record.messages.count == (takesOther ? 0 : 1))
                #expect(!first.record.commands.contains("STARTTLS"))
                let told = report.evidence.abandonedHosts.contains { $0.contains("which failed lately: it broke") }
                #expect(told == !takesOther)
            }
        }
    }

    @Test("one handshake that broke does not lock out a host that demands TLS")
    func demandsTLS() async throws {
        var script = try self.good()
        script.demandsTLS = true
        script.once[.startTLS] = [.drop]
        try await FakeExchanger.run(script) { exchanger in
            let resolver = try self.resolver(port: exchanger.port)
            let refused = try await self.attempt(resolver, port: exchanger.port)
            #expect(refused.outcomes[0]?.failure?.persistence == .transient)
            #expect(self.memory.hosts.isEmpty)
            let report = try await self.attempt(resolver, port: exchanger.port)
            #expect(report.outcomes[0] != nil && report.outcomes[0]?.failure == nil)
            #expect(report.evidence.tls == "TLSv1.3 unverified")
        }
    }

    @Test("a host that is remembered for its TLS and then demands it is asked for it at once")
    func demandsTLSLater() async throws {
        var script = try self.good()
        script.demandsTLS = true
        try await FakeExchanger.run(script) { exchanger in
            let entry = ClearTextHost(
                host: "mx.example.test",
                address: .v4(0x7F00_0001),
                until: self.memory.now + .seconds(3_600),
                reason: "it broke"
            )
            self.memory.keep(entry)
            let report = try await self.attempt(self.resolver(port: exchanger.port), port: exchanger.port)
            #expect(report.outcomes[0] != nil && report.outcomes[0]?.failure == nil)
            #expect(report.evidence.tls == "TLSv1.3 unverified")
            #expect(report.evidence.abandonedHosts.contains { $0.contains("in clear text: 530 5.7.0 Must issue") })
            #expect(await self.memory.clearTextHosts(at: self.memory.now).isEmpty)
        }
    }

    @Test("REQUIRETLS: the next host is tried, and without any the message goes back with 5.7.30 or 5.7.10")
    func requireTLS() async throws {
        var promising = try self.good()
        promising.extensions.append("REQUIRETLS")
        for (script, tlsa, status) in [
            (promising, "leaf.spki.sha256", nil), (try self.good(), "leaf.spki.sha256", "5.7.30"),
            (promising, "root.spki.sha256", "5.7.10"), (promising, nil, "5.7.10"),
        ] as [(FakeExchangerScript, String?, String?)] {
            try await FakeExchanger.run(script) { exchanger in
                let resolver = try self.resolver(tlsa: tlsa.map { (3, $0) }, port: exchanger.port)
                let report = try await self.attempt(
                    resolver,
                    port: exchanger.port,
                    parameters: .init(requireTLS: true)
                )
                let failure = report.outcomes[0]?.failure
                #expect(failure?.status.description == status)
                #expect(failure.map { $0.scope == .capability && $0.persistence == .permanent } ?? true)
                #expect(exchanger.record.messages.count == (status == nil ? 1 : 0))
            }
        }
    }

    @Test("TLS-Required: No goes before the domain's policies (RFC 8689 §3)")
    func tlsOptional() async throws {
        var script = try self.good()
        script.offersStartTLS = false
        try await FakeExchanger.run(script) { exchanger in
            let resolver = try self.resolver(tlsa: (3, "root.spki.sha256"), isAnnounced: true, port: exchanger.port)
            let report = try await self.attempt(
                resolver,
                port: exchanger.port,
                parameters: .init(tlsOptional: true)
            )
            #expect(report.outcomes[0] != nil && report.outcomes[0]?.failure == nil)
            #expect(!resolver.questions.contains { $0.hasPrefix("TLSA") || $0.hasPrefix("TXT") })
        }
    }
}
