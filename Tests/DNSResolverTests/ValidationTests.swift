import DNSProtocol
import DNSResolver
import MailModel
import TestKit
import Testing

/// Whose word that an answer was validated counts, and where aliases end.
struct ValidationTests {
    private let fixture = ResolverFixture()
    private static let loopback = IPAddress.v4(0x7F00_0001)
    private static let zone: [String: [FakeNameServer.Record]] = [
        "MX shop.test": [.exchanger(10, "mx1.shop.test")],
        "A mx1.shop.test": [.address(0x7F00_0001)],
        "TXT shop.test": [.text("v=spf1 -all")],
        "TLSA _25._tcp.mx1.shop.test": [.association([3, 1, 1, 0xAB])],
        "A alias.shop.test": [.alias("Step.shop.test"), .alias("mx1.Shop.test"), .address(0x7F00_0001)],
    ]

    private func trusting() -> ResolverFixture {
        var fixture = self.fixture
        fixture.configuration.trustedAddresses = [Self.loopback]
        return fixture
    }

    /// Whether each kind of answer is secure: MX, addresses, TXT, TLSA, and the negative ones of the same kinds.
    private func security(_ chain: ResolverChain) async -> [Bool] {
        [
            await chain.mailExchangers(of: "shop.test").isSecure,
            await chain.addresses(of: "mx1.shop.test").isSecure,
            await chain.text(of: "shop.test").isSecure,
            await chain.tlsAssociations(of: "_25._tcp.mx1.shop.test").isSecure,
            await chain.mailExchangers(of: "mx1.shop.test").isSecure,
            await chain.mailExchangers(of: "nowhere.test").isSecure,
            await chain.addresses(of: "nowhere.test").isSecure,
            await chain.text(of: "nowhere.test").isSecure,
            await chain.tlsAssociations(of: "_25._tcp.nowhere.test").isSecure,
        ]
    }

    @Test(
        "the AD bit of a plain server counts only where the operator trusts it, of all types and negative answers alike"
    )
    func trusted() async throws {
        try await FakeNameServer.run(zone: Self.zone) { server in
            server.authenticate()
            #expect(await self.security(self.fixture.chain(server)) == Array(repeating: false, count: 9))
            let chain = self.trusting().chain(server)
            #expect(await self.security(chain) == Array(repeating: true, count: 9))
            let asked = server.questions.count
            #expect(await self.security(chain) == Array(repeating: true, count: 9), "from the cache")
            #expect(server.questions.count == asked)
            var near = self.fixture
            near.configuration.trustsLoopback = true
            #expect(await self.security(near.chain(server)) == Array(repeating: true, count: 9), "it is on loopback")
            server.authenticate(false)
            #expect(await self.security(self.trusting().chain(server)) == Array(repeating: false, count: 9))
        }
    }

    @Test("the AD bit that came through HTTPS counts, since nobody could set it on the way")
    func overHTTPS() async throws {
        try await FakeNameServer.run(zone: Self.zone) { server in
            server.authenticate()
            let source = try DNSSource("https://192.0.2.53/dns-query")
            let chain = self.fixture.chain([source]) { server.answer(to: $0.body) ?? [] }
            #expect(await self.security(chain) == Array(repeating: true, count: 9))
        }
    }

    @Test("TLSA records are asked of trusted sources alone, where there are any")
    func associations() async throws {
        try await FakeNameServer.run(zone: Self.zone) { plain in
            try await FakeNameServer.run(zone: Self.zone) { server in
                server.authenticate()
                let name = "_25._tcp.mx1.shop.test"
                let encrypted = try DNSSource("https://192.0.2.53/dns-query")
                let both = self.fixture.chain([ResolverFixture.source(plain), encrypted]) {
                    server.answer(to: $0.body) ?? []
                }
                let found = await both.tlsAssociations(of: name)
                #expect(found.isSecure && found.observations.map(\.source) == ["\(encrypted)"])
                let dead = self.fixture.chain([ResolverFixture.source(plain), encrypted])
                guard case .unavailable = await dead.tlsAssociations(of: name).lookup else {
                    Issue.record("an unvalidated answer was taken although there is a trusted source")
                    return
                }
                #expect(await !self.fixture.chain(plain).tlsAssociations(of: name).isSecure)
            }
        }
    }

    @Test("aliases end where the answer says, in lower case, also from the cache")
    func canonicalName() async throws {
        try await FakeNameServer.run(zone: Self.zone) { server in
            let chain = self.fixture.chain(server)
            for _ in 0..<2 {
                #expect(await chain.addresses(of: "Alias.shop.test").canonicalName == "mx1.shop.test")
                #expect(await chain.addresses(of: "mx1.shop.test").canonicalName == nil)
            }
        }
    }

    @Test("a last good answer keeps its alias, and is never secure")
    func stale() async throws {
        var fixture = self.trusting()
        fixture.archive = MemoryArchive()
        try await FakeNameServer.run(zone: Self.zone) { server in
            server.authenticate()
            #expect(await fixture.chain(server).mailExchangers(of: "shop.test").isSecure)
            _ = await fixture.chain(server).addresses(of: "alias.shop.test")
            server.behave(.code(2))
            let exchangers = await fixture.chain(server).mailExchangers(of: "shop.test")
            #expect(exchangers.staleAge != nil && !exchangers.isSecure)
            let addresses = await fixture.chain(server).addresses(of: "alias.shop.test")
            #expect(addresses.staleAge != nil && !addresses.isSecure)
            #expect(addresses.canonicalName == "mx1.shop.test")
        }
    }
}
