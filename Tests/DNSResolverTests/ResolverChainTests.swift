import DNSProtocol
import DNSResolver
import Foundation
import Logging
import MailModel
import TestKit
import Testing

/// How the sources work together.
struct ResolverChainTests {
    private var fixture = ResolverFixture()
    private let zone = ResolverFixture.zone

    @Test("a silent source is joined by the next after the head start, is on record, and comes last from then on")
    func headStart() async throws {
        var fixture = self.fixture
        fixture.configuration.headStart = .milliseconds(1)
        fixture.configuration.sourceTimeout = .seconds(4)
        try await FakeNameServer.run(.silent) { silent in
            try await FakeNameServer.run(zone: self.zone) { good in
                let chain = fixture.chain(silent, good)
                let resolution = await chain.mailExchangers(of: "shop.test")
                #expect(resolution.story(silent, good) == ["1 no answer yet", "2 2 records"])
                // It is heard out behind the scenes, until its own time is over.
                try await eventually { chain.sources().last?.isHealthy == false }
                #expect(chain.sources().last?.source == ResolverFixture.source(silent))
            }
        }
    }

    @Test("the whole lookup is bounded, however long a single source may take")
    func deadline() async throws {
        var fixture = self.fixture
        fixture.configuration.sourceTimeout = .seconds(600)
        fixture.configuration.lookupTimeout = .milliseconds(100)
        try await FakeNameServer.run(.silent) { first in
            try await FakeNameServer.run(.silent) { second in
                let resolution = await fixture.chain(first, second).mailExchangers(of: "shop.test")
                #expect(resolution.story(first, second) == ["1 no answer yet"])
                guard case .unavailable = resolution.lookup else {
                    Issue.record("\(resolution.lookup)")
                    return
                }
            }
        }
    }

    @Test("NXDOMAIN of one source is not believed when another knows the name")
    func loneNegative() async throws {
        try await FakeNameServer.run(.code(3)) { liar in
            try await FakeNameServer.run(zone: self.zone) { good in
                let resolution = await self.fixture.chain(liar, good).mailExchangers(of: "shop.test")
                #expect(resolution.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                #expect(resolution.story(liar, good) == ["1 NXDOMAIN (contradicted)", "2 2 records"])
            }
        }
    }

    @Test("NXDOMAIN is believed when a second source agrees, or when there is no second one")
    func confirmedNegative() async throws {
        try await FakeNameServer.run(zone: self.zone) { first in
            try await FakeNameServer.run(zone: self.zone) { second in
                let both = await self.fixture.chain(first, second).mailExchangers(of: "nowhere.test")
                #expect(both.isNoSuchName)
                #expect(both.story(first, second) == ["1 NXDOMAIN", "2 NXDOMAIN"])
                let alone = await self.fixture.chain(first).mailExchangers(of: "nowhere.test")
                #expect(alone.isNoSuchName)
            }
        }
    }

    @Test("NXDOMAIN that nobody can confirm proves nothing")
    func unconfirmedNegative() async throws {
        try await FakeNameServer.run(.code(3)) { liar in
            try await FakeNameServer.run(.code(2)) { broken in
                let resolution = await self.fixture.chain(liar, broken).mailExchangers(of: "shop.test")
                #expect(resolution.isUnavailable)
                var credulous = self.fixture
                credulous.configuration.believesLoneNegative = true
                #expect(await credulous.chain(liar, broken).mailExchangers(of: "shop.test").isNoSuchName)
            }
        }
    }

    @Test("an existing name without the record is not an unknown name")
    func noData() async throws {
        try await FakeNameServer.run(zone: self.zone) { server in
            let resolution = await self.fixture.chain(server).mailExchangers(of: "mx1.shop.test")
            guard case .noData = resolution.lookup else {
                Issue.record("\(resolution.lookup)")
                return
            }
            #expect(resolution.story(server) == ["1 no data"])
        }
    }

    @Test("a host with one family only is found, and one with none needs confirming")
    func addresses() async throws {
        try await FakeNameServer.run(zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            #expect(await chain.addresses(of: "mx1.shop.test").records == [.v4(0x7F00_0001)])
            #expect(await chain.addresses(of: "nowhere.test").isNoSuchName)
            #expect(await chain.addresses(of: "[127.0.0.1]").isNoSuchName)
            #expect(await chain.addresses(of: "192.0.2.7").records.map(\.description) == ["192.0.2.7"])
        }
    }

    @Test("a good answer is asked for once while it lives, however many ask")
    func cached() async throws {
        try await FakeNameServer.run(zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            await withTaskGroup { group in
                for _ in 0..<50 {
                    group.addTask { _ = await chain.mailExchangers(of: "shop.test") }
                }
            }
            #expect(server.questions == ["udp MX shop.test"])
            let again = await chain.mailExchangers(of: "shop.test")
            #expect(again.story(server) == ["cache 2 records"])
            chain.flush()
            _ = await chain.mailExchangers(of: "shop.test")
            #expect(server.questions.count == 2)
        }
    }

    @Test("a flush forgets the answers and the failures, so that the operator's order holds again at once")
    func flush() async throws {
        try await FakeNameServer.run(.code(2), zone: self.zone) { first in
            try await FakeNameServer.run(zone: self.zone) { second in
                let chain = self.fixture.chain(first, second)
                _ = await chain.mailExchangers(of: "shop.test")
                #expect(chain.sources().map(\.source) == [second, first].map(ResolverFixture.source))
                first.behave(.honest)
                chain.flush()
                #expect(chain.sources().map(\.isHealthy) == [true, true])
                #expect(await chain.mailExchangers(of: "shop.test").story(first, second) == ["1 2 records"])
            }
        }
    }

    @Test("the last good answer stands in when everything is dead, until it is too old")
    func lastGoodAnswer() async throws {
        var fixture = self.fixture
        let archive = MemoryArchive()
        fixture.archive = archive
        try await FakeNameServer.run(zone: self.zone) { server in
            _ = await fixture.chain(server).mailExchangers(of: "shop.test")
            server.behave(.code(2))
            archive.age(by: .seconds(7_200))
            // Another chain, as after a restart: nothing is in memory.
            let stale = await fixture.chain(server).mailExchangers(of: "shop.test")
            #expect(stale.records == ResolverFixture.exchangers)
            #expect(stale.staleAge == .seconds(7_200))
            #expect(stale.story(server) == ["1 SERVFAIL", "store 2 records, 2 h old"])

            archive.age(by: .seconds(7 * 86_400))
            #expect(await fixture.chain(server).mailExchangers(of: "shop.test").isUnavailable)
            fixture.configuration.serveStale = .zero
            #expect(await fixture.chain(server).mailExchangers(of: "shop.test").isUnavailable)
        }
    }

    @Test("names are absolute, whatever the search list says")
    func absolute() async throws {
        try await FakeNameServer.run(zone: ["A mx1": [.address(0x7F00_0001)]]) { server in
            let chain = self.fixture.chain(server)
            _ = await chain.addresses(of: "mx1")
            _ = await chain.mailExchangers(of: "other")
            #expect(Set(server.questions) == ["udp A mx1", "udp AAAA mx1", "udp MX other"])
        }
    }

    @Test("with a last good answer at hand silence is not waited out, nor asked for again before a source is back")
    func staleSoon() async throws {
        var fixture = self.fixture
        fixture.archive = MemoryArchive()
        fixture.configuration.lookupTimeout = .seconds(600)
        fixture.configuration.sourceTimeout = .seconds(500)
        try await FakeNameServer.run(zone: self.zone) { server in
            _ = await fixture.chain(server).mailExchangers(of: "shop.test")
            server.behave(.silent)
            let chain = fixture.chain(server)
            let first = await chain.mailExchangers(of: "shop.test")
            #expect(first.records == ResolverFixture.exchangers && first.staleAge != nil)
            let asked = server.questions.count
            let second = await chain.mailExchangers(of: "shop.test")
            #expect(second.records == ResolverFixture.exchangers && second.staleAge != nil)
            #expect(server.questions.count == asked)
            server.behave(.honest)
            chain.flush()
            #expect(await chain.mailExchangers(of: "shop.test").staleAge == nil)
        }
    }

    @Test("hosts of the configuration are never looked up")
    func pinned() async throws {
        var fixture = self.fixture
        fixture.configuration.hosts = ["smtp.example.com": [.v4(0xC000_0201)]]
        try await FakeNameServer.run { server in
            let chain = fixture.chain(server)
            #expect(await chain.addresses(of: "SMTP.example.com.").records == [.v4(0xC000_0201)])
            #expect(await chain.addresses(of: "localhost").records.count == 2)
            #expect(server.questions.isEmpty)
        }
    }

    @Test("resolv.conf is read again when it changes, and its absence is on record")
    func resolvConf() async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("resolv-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        var fixture = self.fixture
        fixture.configuration.resolvConfPath = path
        try await FakeNameServer.run(zone: self.zone) { server in
            let source = ResolverFixture.source(server)
            let chain = fixture.chain([.system, source])
            let without = await chain.mailExchangers(of: "shop.test")
            #expect(without.story(server) == ["system \(path) is missing or names no server", "1 2 records"])
            #expect(chain.sources().map(\.source) == [source])

            try "search corp.test\nnameserver 127.0.0.53\nnameserver ::1\n".write(
                toFile: path,
                atomically: true,
                encoding: .utf8
            )
            try await eventually {
                chain.sources().map(\.source.description) == ["127.0.0.53", "::1", source.description]
            }
            try "nameserver 127.0.0.54\n".write(toFile: path, atomically: false, encoding: .utf8)
            try await eventually { chain.sources().map(\.source.description) == ["127.0.0.54", source.description] }
        }
    }
}

extension Resolution {
    fileprivate var records: [Record] {
        if case .records(let records, _) = self.lookup { records } else { [] }
    }

    fileprivate var isNoSuchName: Bool {
        if case .noSuchName = self.lookup { true } else { false }
    }

    fileprivate var isUnavailable: Bool {
        if case .unavailable = self.lookup { true } else { false }
    }
}
