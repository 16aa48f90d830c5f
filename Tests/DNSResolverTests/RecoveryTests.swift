import DNSProtocol
import DNSResolver
import MailModel
import Synchronization
import TestKit
import Testing

/// How sources leave, are asked again behind the scenes, and come back.
struct RecoveryTests {
    private let fixture = ResolverFixture()
    private let zone = ResolverFixture.zone

    @Test("a failing source is asked again what it failed on, and is in its place again as soon as it answers")
    func probes() async throws {
        try await FakeNameServer.run(.code(2), zone: self.zone) { first in
            try await FakeNameServer.run(zone: self.zone) { second in
                let chain = self.fixture.chain(first, second)
                _ = await chain.mailExchangers(of: "shop.test")
                #expect(chain.sources().map(\.isHealthy) == [true, false])
                let asked = first.questions.count

                await chain.probe(at: .now)
                #expect(first.questions.count == asked, "not yet due")
                await chain.probe(at: .now + .seconds(3))
                #expect(first.questions.count > asked)
                #expect(first.questions.last == "udp 2 ", "the root, lest the name be at fault")
                #expect(chain.sources().map(\.isHealthy) == [true, false], "it still fails")

                first.behave(.honest)
                await chain.probe(at: .now + .seconds(3))
                #expect(chain.sources().map(\.isHealthy) == [true, false], "the waits grow")
                await chain.probe(at: .now + .seconds(20))
                #expect(chain.sources().map(\.source) == [first, second].map(ResolverFixture.source))
                #expect(chain.sources().map(\.isHealthy) == [true, true])
                #expect(first.questions.last == "udp MX shop.test")
            }
        }
    }

    @Test("when all were failing and one is back, whoever waits for DNS hears of it")
    func recovery() async throws {
        try await FakeNameServer.run(.code(5), zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            _ = await chain.mailExchangers(of: "shop.test")
            #expect(chain.sources().map(\.isHealthy) == [false])
            server.behave(.honest)
            let (recoveries, sink) = AsyncStream.makeStream(of: Void.self)
            await withDiscardingTaskGroup { group in
                group.addTask { await chain.run { sink.yield() } }
                for await _ in recoveries {
                    break
                }
                group.cancelAll()
            }
            #expect(chain.sources().map(\.isHealthy) == [true])
        }
    }

    @Test("a failed lookup is not repeated at once, but is as soon as the source is back (RFC 9520)")
    func failureMemory() async throws {
        try await FakeNameServer.run(.code(5), zone: self.zone) { server in
            let chain = self.fixture.chain(server)
            await withTaskGroup { group in
                for _ in 0..<20 {
                    group.addTask { _ = await chain.mailExchangers(of: "shop.test") }
                }
            }
            #expect(server.questions.count == 1)
            server.behave(.honest)
            await chain.probe(at: .now + .seconds(3))
            let found = await chain.mailExchangers(of: "shop.test")
            #expect(found.story(server) == ["1 2 records"])

            // Again so soon that the log is not told of it.
            server.behave(.code(5))
            _ = await chain.text(of: "shop.test")
            server.behave(.honest)
            await chain.probe(at: .now + .seconds(3))
            #expect(await chain.text(of: "shop.test").story(server) == ["1 1 record"])
        }
    }

    @Test("names that nobody can resolve are not a source's fault, unless it cannot even tell the root")
    func suspects() async throws {
        try await FakeNameServer.run(.code(2)) { broken in
            try await FakeNameServer.run(.code(2)) { honest in
                let chain = self.fixture.chain(broken, honest)
                for name in ["one.test", "two.test", "three.test"] {
                    _ = await chain.text(of: name)
                }
                #expect(chain.sources().map(\.isHealthy) == [true, true])
                honest.behave(.honest)
                await chain.probe(at: .now)
                #expect(broken.questions.last == "udp 2 " && honest.questions.last == "udp 2 ")
                #expect(chain.sources().map(\.source) == [honest, broken].map(ResolverFixture.source))
                #expect(chain.sources().map(\.isHealthy) == [true, false])
            }
        }
    }

    @Test("silence of all sources on a name is not their fault, unless they say nothing of the root either")
    func silenceOnName() async throws {
        var fixture = self.fixture
        fixture.configuration.sourceTimeout = .milliseconds(300)
        try await FakeNameServer.run(.silentOn("dead.test"), zone: self.zone) { first in
            try await FakeNameServer.run(.silentOn("dead.test"), zone: self.zone) { second in
                let chain = fixture.chain(first, second)
                _ = await chain.mailExchangers(of: "dead.test")
                await chain.probe(at: .now)
                #expect(first.questions.last == "udp 2 " && second.questions.last == "udp 2 ")
                #expect(chain.sources().map(\.isHealthy) == [true, true] && !chain.isOut)

                second.behave(.silent)
                _ = await chain.text(of: "dead.test")
                await chain.probe(at: .now)
                #expect(chain.sources().map(\.source) == [first, second].map(ResolverFixture.source))
                #expect(chain.sources().map(\.isHealthy) == [true, false])
            }
        }
    }

    @Test("a source that is silent on one name that others know is back when it answers what others have just answered")
    func silenceOnForeignName() async throws {
        var fixture = self.fixture
        fixture.configuration.sourceTimeout = .milliseconds(300)
        let zone = self.zone.merging(["TXT foreign.test": [.text("here")]]) { first, _ in first }
        try await FakeNameServer.run(.silentOn("foreign.test"), zone: zone) { own in
            try await FakeNameServer.run(zone: zone) { other in
                let chain = fixture.chain(own, other)
                _ = await chain.mailExchangers(of: "shop.test")
                _ = await chain.text(of: "foreign.test")
                #expect(chain.sources().map(\.isHealthy) == [true, false])
                #expect(chain.sources().first?.source == ResolverFixture.source(other))
                own.behave(.silent)
                await chain.probe(at: .now + .seconds(3))
                #expect(chain.sources().map(\.isHealthy) == [true, false], "it still answers nothing")
                own.behave(.silentOn("foreign.test"))
                await chain.probe(at: .now + .seconds(20))
                #expect(own.questions.suffix(1) == ["udp MX shop.test"], "\(own.questions)")
                #expect(chain.sources().map(\.isHealthy) == [true, true])
                #expect(chain.sources().first?.source == ResolverFixture.source(own))
            }
        }
    }

    @Test("the log tells once that a source left, lied or was replaced by an old answer, and that it is back")
    func log() async throws {
        let recorder = LogRecorder()
        var fixture = self.fixture
        fixture.logger = recorder.logger
        fixture.archive = MemoryArchive()
        try await FakeNameServer.run(zone: self.zone) { server in
            let chain = fixture.chain(server)
            _ = await chain.mailExchangers(of: "shop.test")
            server.behave(.code(5))
            for _ in 0..<3 {
                chain.flush()
                _ = await chain.mailExchangers(of: "shop.test")
            }
            #expect(recorder.lines.count { $0.hasPrefix("no DNS source answers; the last good answer is used") } == 1)
            let left = "a DNS source has left source=127.0.0.1:\(server.port) why=REFUSED"
            #expect(recorder.lines.contains(left), "\(recorder.lines)")
            server.behave(.honest)
            await chain.probe(at: .now + .seconds(3))
            #expect(recorder.lines.last?.hasPrefix("a DNS source is back") == true, "\(recorder.lines)")
        }
        try await FakeNameServer.run(.code(3)) { liar in
            try await FakeNameServer.run(zone: self.zone) { honest in
                let chain = fixture.chain(liar, honest)
                _ = await chain.mailExchangers(of: "shop.test")
                chain.flush()
                _ = await chain.mailExchangers(of: "shop.test")
                #expect(recorder.lines.count { $0.hasPrefix("DNS sources disagree") } == 1, "\(recorder.lines)")
            }
        }
    }
}
