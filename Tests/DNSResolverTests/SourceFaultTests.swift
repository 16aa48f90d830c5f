import DNSProtocol
import DNSResolver
import MailModel
import TestKit
import Testing

/// What one source can do wrong, and that the next one is asked.
struct SourceFaultTests {
    private let fixture = ResolverFixture()
    private let zone = ResolverFixture.zone

    struct Fault: Sendable, CustomTestStringConvertible {
        var behaviour: FakeNameServer.Behaviour
        var result: String
        var testDescription: String { "\(self.behaviour)" }
    }

    @Test(
        "a source that cannot answer is left at once for the next, and both are on record",
        arguments: [
            Fault(behaviour: .code(2), result: "SERVFAIL"), Fault(behaviour: .code(5), result: "REFUSED"),
            Fault(behaviour: .code(4), result: "NOTIMP"), Fault(behaviour: .silent, result: "no answer"),
            Fault(behaviour: .garbage, result: "garbage"),
            Fault(behaviour: .truncatesAndBreaksOff, result: "truncated, TCP: connection lost"),
        ]
    )
    func goesOn(_ fault: Fault) async throws {
        try await FakeNameServer.run(fault.behaviour, zone: self.zone) { bad in
            try await FakeNameServer.run(zone: self.zone) { good in
                let chain = self.fixture.chain(bad, good)
                let resolution = await chain.mailExchangers(of: "shop.test")
                #expect(resolution.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                #expect(resolution.story(bad, good) == ["1 \(fault.result)", "2 2 records"])
                #expect(resolution.observations.allSatisfy { $0.question == "MX shop.test" })

                // It has just failed, so that it comes last now and is not needed.
                let asked = bad.questions.count
                let next = await chain.text(of: "shop.test")
                #expect(next.story(bad, good) == ["2 1 record"])
                #expect(bad.questions.count == asked)
                #expect(chain.sources().map(\.isHealthy) == [true, false])
            }
        }
    }

    @Test("a port where nobody listens is known at once")
    func closedPort() async throws {
        var fixture = self.fixture
        fixture.configuration.sourceTimeout = .seconds(60)
        let closed = try await ResolverFixture.closedPort()
        try await FakeNameServer.run(zone: self.zone) { good in
            let resolution = await fixture.chain([closed, ResolverFixture.source(good)]).mailExchangers(of: "shop.test")
            #expect(resolution.observations.map(\.result) == ["port closed", "2 records"])
        }
    }

    @Test("when nobody can answer, the lookup is unavailable and tells of each source")
    func nobody() async throws {
        try await FakeNameServer.run(.code(2)) { first in
            try await FakeNameServer.run(.code(5)) { second in
                let resolution = await self.fixture.chain(first, second).mailExchangers(of: "shop.test")
                let story =
                    "no DNS source could answer (127.0.0.1:\(first.port) SERVFAIL, 127.0.0.1:\(second.port) REFUSED)"
                #expect(resolution.lookup == .unavailable(Unavailability(story)))
            }
        }
    }

    @Test("answers that were forged are not taken, the right one behind them is")
    func forgeries() async throws {
        let forgeries = FakeNameServer.Behaviour.afterForgeries(FakeNameServer.Forgery.allCases)
        try await FakeNameServer.run(forgeries, zone: self.zone) { server in
            let resolution = await self.fixture.chain(server).mailExchangers(of: "shop.test")
            #expect(resolution.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
        }
    }

    @Test("each kind of forgery alone is no answer", arguments: FakeNameServer.Forgery.allCases)
    func forgery(_ forgery: FakeNameServer.Forgery) async throws {
        // The right answer behind the forgery is for a name that does not exist: whatever has records was forged.
        try await FakeNameServer.run(.afterForgeries([forgery])) { server in
            let resolution = await self.fixture.chain(server).mailExchangers(of: "shop.test")
            guard case .noSuchName = resolution.lookup else {
                Issue.record("\(resolution.lookup)")
                return
            }
        }
    }

    @Test("a truncated answer is fetched over TCP")
    func truncated() async throws {
        try await FakeNameServer.run(.truncates, zone: self.zone) { server in
            let resolution = await self.fixture.chain(server).mailExchangers(of: "shop.test")
            #expect(resolution.story(server) == ["1 2 records over TCP"])
            #expect(server.questions == ["udp MX shop.test", "tcp MX shop.test"])
        }
    }

    @Test(
        "a server without EDNS is asked without, and that is remembered once it is so a second time",
        arguments: [
            FakeNameServer.Behaviour.rejectsEDNS, .ignoresEDNS,
        ]
    )
    func withoutEDNS(_ behaviour: FakeNameServer.Behaviour) async throws {
        try await FakeNameServer.run(behaviour, zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            let first = await chain.mailExchangers(of: "shop.test")
            #expect(first.story(server) == ["1 2 records"])
            #expect(chain.sourceReports().map(\.usesEDNS) == [true], "a datagram may have been lost")
            _ = await chain.text(of: "shop.test")
            #expect(chain.sourceReports().map(\.usesEDNS) == [false])
            _ = await chain.text(of: "nowhere.test")
            let asked = ["MX shop.test", "MX shop.test", "TXT shop.test", "TXT shop.test", "TXT nowhere.test"]
            #expect(server.questions == asked.map { "udp \($0)" })
        }
    }

    @Test("datagrams that are lost now and then, or at one time, switch EDNS off for nobody")
    func lostDatagrams() async throws {
        try await FakeNameServer.run(.ignoresEDNS, zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            _ = await chain.addresses(of: "mx1.shop.test")
            #expect(server.questions.count == 4, "both families at once")
            #expect(chain.sourceReports().map(\.usesEDNS) == [true])
            server.behave(.honest)
            _ = await chain.mailExchangers(of: "shop.test")
            server.behave(.ignoresEDNS)
            _ = await chain.text(of: "shop.test")
            #expect(chain.sourceReports().map(\.usesEDNS) == [true], "it has understood EDNS in between")
        }
    }

    @Test("a slow server is heard after it was asked without EDNS, too, and understands EDNS all the same")
    func slowWithEDNS() async throws {
        try await FakeNameServer.run(.holdsBack(.honest), zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            #expect(await chain.mailExchangers(of: "shop.test").story(server) == ["1 2 records"])
            #expect(server.questions == ["udp MX shop.test", "udp MX shop.test"])
            #expect(chain.sourceReports().map(\.usesEDNS) == [true])
        }
    }

    @Test("a server without EDNS whose answer does not fit is asked over TCP without it, too")
    func withoutEDNSOverTCP() async throws {
        try await FakeNameServer.run(.rejectsEDNSAndTruncates, zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            #expect(await chain.mailExchangers(of: "shop.test").story(server) == ["1 2 records over TCP"])
            #expect(await chain.text(of: "shop.test").story(server) == ["1 1 record over TCP"])
            let first = ["udp MX", "udp MX", "tcp MX"]
            #expect(server.questions == (first + ["udp TXT", "udp TXT", "tcp TXT"]).map { "\($0) shop.test" })
        }
    }

    @Test("a server that folds names to lower case is asked over TCP, where nobody forges")
    func foldsCase() async throws {
        let name = "a-name-with-so-many-letters.that-no-coin-shows-lower-case.each-time.shop.test"
        try await FakeNameServer.run(.foldsCase, zone: ["TXT \(name)": [.text("here")]]) { server in
            let resolution = await self.fixture.chain(server).text(of: name)
            #expect(resolution.story(server) == ["1 1 record over TCP"])
        }
    }

    @Test("host names come back in lower case, whatever the case of the question that they repeat")
    func lowerCase() async throws {
        try await FakeNameServer.run(zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            for _ in 0..<8 {
                chain.flush()
                guard case .records(let exchangers, _) = await chain.mailExchangers(of: "Shop.TEST").lookup else {
                    Issue.record("no answer")
                    return
                }
                #expect(exchangers == ResolverFixture.exchangers)
            }
        }
    }
}

/// Aliases whose target is in another answer.
struct AliasTests {
    private let fixture = ResolverFixture()
    private static let zone: [String: [FakeNameServer.Record]] = [
        "A www.test": [.alias("step.test")],
        "A step.test": [.alias("host.test")],
        "A host.test": [.address(0x7F00_0001)],
        "A loop.test": [.alias("pool.test")],
        "A pool.test": [.alias("loop.test")],
        "A dangling.test": [.alias("nowhere.example")],
    ]

    @Test("are followed by asking on, within bounds")
    func follows() async throws {
        try await FakeNameServer.run(zone: Self.zone) { server in
            let chain = self.fixture.chain(server)
            let found = await chain.addresses(of: "www.test")
            #expect(found.lookup == .records([.v4(0x7F00_0001)], timeToLive: .seconds(60)))
            #expect(found.canonicalName == "host.test")
            #expect(server.questions.filter { $0.contains(" A ") }.count == 3)
            let loop = await chain.addresses(of: "loop.test")
            #expect(loop.observations.first?.result == "CNAME loop")
            #expect(server.questions.filter { $0.contains(" A loop.test") }.count <= 10)
            guard case .noSuchName = await chain.addresses(of: "dangling.test").lookup else {
                Issue.record("an alias of a name that does not exist")
                return
            }
        }
    }

    @Test("are followed through the last good answers, too")
    func stale() async throws {
        var fixture = self.fixture
        fixture.archive = MemoryArchive()
        try await FakeNameServer.run(zone: Self.zone) { server in
            _ = await fixture.chain(server).addresses(of: "www.test")
            server.behave(.code(2))
            let found = await fixture.chain(server).addresses(of: "www.test")
            #expect(found.lookup == .records([.v4(0x7F00_0001)], timeToLive: .seconds(60)))
            #expect(found.canonicalName == "host.test" && found.staleAge == .zero)
        }
    }
}
