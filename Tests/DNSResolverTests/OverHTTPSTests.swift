import DNSProtocol
import DNSResolver
import MailModel
import Synchronization
import TestKit
import Testing

/// DNS over HTTPS as one source among others; the transport itself is tested with the HTTP client.
struct OverHTTPSTests {
    private let fixture = ResolverFixture()
    private struct Unreachable: Error, CustomStringConvertible {
        let description = "status 503"
    }

    private func source(_ text: String = "https://dns.example@192.0.2.53:8443/dns-query") throws -> DNSSource {
        try DNSSource(text)
    }

    @Test("the question goes to the literal address under the server's name, with identifier 0 (RFC 8484 §4.1)")
    func asks() async throws {
        try await FakeNameServer.run(zone: ResolverFixture.zone) { server in
            let seen = Mutex<[DNSOverHTTPSRequest]>([])
            let chain = self.fixture.chain([try self.source()]) { request in
                seen.withLock { $0.append(request) }
                return server.answer(to: request.body) ?? []
            }
            let found = await chain.mailExchangers(of: "Shop.test")
            #expect(found.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
            #expect(found.observations.map(\.source) == ["https://dns.example@192.0.2.53:8443/dns-query"])
            let request = try #require(seen.withLock { $0 }.first)
            #expect(request.url == "https://dns.example:8443/dns-query")
            #expect(request.address.description == "192.0.2.53")
            #expect(request.body.prefix(2) == [0, 0])
        }
    }

    @Test("whatever goes wrong there is on record, and the next source is asked")
    func fails() async throws {
        try await FakeNameServer.run(zone: ResolverFixture.zone) { server in
            let good = ResolverFixture.source(server)
            let failing = self.fixture.chain([try self.source(), good]) { _ in throw Unreachable() }
            let first = await failing.mailExchangers(of: "shop.test")
            #expect(first.observations.map(\.result) == ["status 503", "2 records"])
            let babbling = self.fixture.chain([try self.source(), good]) { _ in [1, 2, 3] }
            let second = await babbling.mailExchangers(of: "shop.test")
            #expect(second.observations.map(\.result) == ["garbage", "2 records"])
            let without = self.fixture.chain([try self.source(), good])
            let third = await without.mailExchangers(of: "shop.test")
            #expect(third.observations.map(\.result) == ["DNS over HTTPS is not available", "2 records"])
        }
    }

    @Test("an answer to another question is none")
    func otherAnswer() async throws {
        try await FakeNameServer.run(zone: ["MX other.test": [.exchanger(1, "evil.test")]]) { server in
            let other = Question(.mx, try #require(DomainName("other.test")))
            let chain = self.fixture.chain([try self.source()]) { _ in
                server.answer(to: QueryEncoder.encode(other, id: 0)) ?? []
            }
            let found = await chain.mailExchangers(of: "shop.test")
            #expect(found.observations.map(\.result) == ["garbage"])
        }
    }

    @Test("a network that answers plain DNS in everybody's name bounces nothing while HTTPS gets through")
    func divertedPlainDNS() async throws {
        try await FakeNameServer.run(.code(3)) { first in
            try await FakeNameServer.run(.code(3)) { second in
                try await FakeNameServer.run(zone: ResolverFixture.zone) { honest in
                    let same = try DNSSource("https://127.0.0.1:\(first.port)/dns-query")
                    let plain = [first, second].map(ResolverFixture.source)
                    let chain = self.fixture.chain(plain + [same]) { honest.answer(to: $0.body) ?? [] }
                    let found = await chain.mailExchangers(of: "shop.test")
                    #expect(found.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                    let other = try DNSSource("https://127.0.0.1:\(second.port)/dns-query")
                    let half = self.fixture.chain(plain + [same, other]) { request in
                        guard request.url == "https://127.0.0.1:\(second.port)/dns-query" else {
                            throw Unreachable()
                        }
                        return honest.answer(to: request.body) ?? []
                    }
                    let late = await half.mailExchangers(of: "shop.test")
                    #expect(late.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                    let none = self.fixture.chain(plain + [same, other]) { _ in throw Unreachable() }
                    guard case .noSuchName = await none.mailExchangers(of: "shop.test").lookup else {
                        Issue.record("that all of them fail changes nothing")
                        return
                    }
                }
            }
        }
    }
}
