import DNSProtocol
import DNSResolver
import MailModel
import TestKit
import Testing

/// Whom to believe when sources disagree, and what a validator's refusal means.
struct AgreementTests {
    private let fixture = ResolverFixture()
    private let zone = ResolverFixture.zone

    @Test("two resolvers that lie out of three lose nobody's mail, are on record, and come last from then on")
    func majorityLies() async throws {
        try await FakeNameServer.run(.code(3)) { first in
            try await FakeNameServer.run(.code(3)) { second in
                try await FakeNameServer.run(zone: self.zone) { honest in
                    let chain = self.fixture.chain(first, second, honest)
                    let found = await chain.mailExchangers(of: "shop.test")
                    #expect(found.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                    let story = found.story(first, second, honest)
                    #expect(story.last == "3 2 records")
                    #expect(story.contains("1 NXDOMAIN (contradicted)"))
                    // The other lie may come after the lookup is over, and counts as well.
                    try await eventually { chain.sources().first?.source == ResolverFixture.source(honest) }
                    #expect(!chain.sources().contains { !$0.isHealthy }, "they answer, if not the truth")
                    let next = await chain.text(of: "shop.test")
                    #expect(next.story(first, second, honest) == ["3 1 record"])
                }
            }
        }
    }

    @Test("the only source's NXDOMAIN is believed, unless the operator asked for caution")
    func caution() async throws {
        try await FakeNameServer.run(zone: self.zone) { server in
            #expect(await self.fixture.chain(server).mailExchangers(of: "nowhere.test").isNegative)
            var cautious = self.fixture
            cautious.configuration.isCautious = true
            let found = await cautious.chain(server).mailExchangers(of: "nowhere.test")
            let source = ResolverFixture.source(server)
            #expect(
                found.lookup
                    == .unavailable(
                        Unavailability("no second DNS source confirms that there is none (\(source) NXDOMAIN)")
                    )
            )
        }
    }

    @Test("that there is no MX is believed only where a second server agrees, or there is only one")
    func implicitExchanger() async throws {
        let zone: [String: [FakeNameServer.Record]] = ["A plain.test": [.address(0x7F00_0001)]]
        try await FakeNameServer.run(zone: zone) { server in
            try await FakeNameServer.run(zone: zone) { second in
                let closed = try await ResolverFixture.closedPort()
                let alone = await self.fixture.chain([ResolverFixture.source(server), closed])
                    .mailExchangers(of: "plain.test")
                #expect(!alone.isNegative, "nobody confirms it")
                for chain in [self.fixture.chain(server), self.fixture.chain(server, second)] {
                    guard case .noData = await chain.mailExchangers(of: "plain.test").lookup else {
                        Issue.record("nobody contradicts it")
                        return
                    }
                }
                var cautious = self.fixture
                cautious.configuration.isCautious = true
                #expect(await !cautious.chain(server).mailExchangers(of: "plain.test").isNegative)
            }
        }
    }

    @Test("a host that one source denies in both families is asked of others in both")
    func deniedHost() async throws {
        let octets = Array(repeating: UInt8(0), count: 15) + [1]
        let zone: [String: [FakeNameServer.Record]] = ["AAAA six.test": [.association(octets)]]
        try await FakeNameServer.run(.code(3)) { liar in
            try await FakeNameServer.run(zone: zone) { honest in
                let found = await self.fixture.chain(liar, honest).addresses(of: "six.test")
                guard case .records(let addresses, _) = found.lookup else {
                    Issue.record("\(found.lookup)")
                    return
                }
                #expect(addresses.map(\.description) == ["::1"])
                let none = await self.fixture.chain(liar, honest).addresses(of: "none.test")
                #expect(none.isNegative)
            }
        }
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var behaviour: FakeNameServer.Behaviour
        var result: String
        var testDescription: String { self.result }
    }

    @Test(
        "what validators refuse is told as bogus and not used, whoever else hands it out",
        arguments: [
            Refusal(behaviour: .findsBogus, result: "SERVFAIL (DNSSEC bogus)"),
            Refusal(behaviour: .fails(because: 7), result: "SERVFAIL (DNSSEC: signature expired)"),
            Refusal(behaviour: .fails(because: 6), result: "SERVFAIL (DNSSEC bogus)"),
        ]
    )
    func bogus(_ refusal: Refusal) async throws {
        var fixture = self.fixture
        fixture.archive = MemoryArchive()
        try await FakeNameServer.run(zone: self.zone) { validator in
            try await FakeNameServer.run(zone: self.zone) { credulous in
                _ = await fixture.chain(credulous).mailExchangers(of: "shop.test")
                let chain = fixture.chain(validator, credulous)
                validator.authenticate()
                _ = await chain.text(of: "shop.test")
                validator.behave(refusal.behaviour)
                let found = await chain.mailExchangers(of: "shop.test")
                guard case .unavailable(let why) = found.lookup else {
                    Issue.record("\(found.lookup)")
                    return
                }
                #expect(why.description.hasPrefix("DNSSEC bogus ("))
                #expect(found.staleAge == nil, "the last good answer may be the forger's")
                #expect(found.story(validator, credulous) == ["1 \(refusal.result)", "2 2 records"])
                #expect(chain.sources().map(\.isHealthy) == [true, true], "both did their work")
                chain.flush()
                for server in [validator, credulous] {
                    server.behave(.code(5))
                }
                let later = await chain.mailExchangers(of: "shop.test")
                #expect(later.staleAge == nil, "what was called bogus is no last good answer")
            }
        }
    }

    @Test("a validator that fails without a reason, whatever it is asked, is only broken")
    func brokenValidator() async throws {
        for behaviour in [FakeNameServer.Behaviour.code(2), .fails(because: 22)] {
            try await FakeNameServer.run(behaviour, zone: self.zone) { broken in
                try await FakeNameServer.run(zone: self.zone) { good in
                    let chain = self.fixture.chain(broken, good)
                    let found = await chain.mailExchangers(of: "shop.test")
                    #expect(found.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                    #expect(chain.sources().map(\.isHealthy) == [true, false])
                }
            }
        }
    }

    @Test("a source that fails now and then, and never validated anything, is no validator")
    func flakySource() async throws {
        try await FakeNameServer.run(.findsBogus, zone: self.zone) { flaky in
            try await FakeNameServer.run(zone: self.zone) { good in
                let found = await self.fixture.chain(flaky, good).mailExchangers(of: "shop.test")
                #expect(found.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                #expect(found.story(flaky, good) == ["1 SERVFAIL", "2 2 records"])
            }
        }
    }

    @Test("a validator whose clock is wrong is outdone by one that validated the answer")
    func wrongClock() async throws {
        try await FakeNameServer.run(.fails(because: 7), zone: self.zone) { confused in
            try await FakeNameServer.run(zone: self.zone) { plain in
                try await FakeNameServer.run(zone: self.zone) { good in
                    good.authenticate()
                    let chain = self.fixture.chain(confused, plain, good)
                    let found = await chain.mailExchangers(of: "shop.test")
                    #expect(found.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                }
            }
        }
    }
}

extension Resolution {
    fileprivate var isNegative: Bool {
        switch self.lookup {
        case .noData, .noSuchName: true
        case .records, .unavailable: false
        }
    }
}
