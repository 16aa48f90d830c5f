import DNSProtocol
import DNSResolver
import Foundation
import MailModel
import TestKit
import Testing

/// DNS over TLS: one connection, many questions, and a server that must prove its name (RFC 7858, RFC 8310).
struct OverTLSTests {
    private let fixture = ResolverFixture()

    private func source(_ server: FakeNameServer, name: String = "mx.example.test") throws -> DNSSource {
        try DNSSource("tls://\(name)@127.0.0.1:\(server.port)")
    }

    /// A fixture that trusts the issuer of the fake server's certificate.
    private func trusting(_ body: (ResolverFixture) async throws -> Void) async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("roots-\(UUID().uuidString).pem")
        defer { try? FileManager.default.removeItem(at: file) }
        try TestCertificates.authority.write(to: file, atomically: true, encoding: .utf8)
        var fixture = self.fixture
        fixture.configuration.trustRootsFile = file.path
        try await body(fixture)
    }

    @Test(
        "all questions share one connection, however many are under way",
        arguments: ["mx.example.test", "127.0.0.1"]
    )
    func shares(name: String) async throws {
        try await self.trusting { fixture in
            try await FakeNameServer.run(zone: ResolverFixture.zone, isEncrypted: true) { server in
                let chain = fixture.chain([try self.source(server, name: name)])
                await withTaskGroup { group in
                    for number in 0..<80 {
                        group.addTask {
                            let found = await chain.text(of: "host\(number).test")
                            #expect(found.observations.map(\.result) == ["NXDOMAIN"])
                        }
                    }
                }
                let found = await chain.mailExchangers(of: "shop.test")
                #expect(found.lookup == .records(ResolverFixture.exchangers, timeToLive: .seconds(60)))
                #expect(server.connections == 1)
                #expect(server.questions.count == 81 && server.questions.last == "tcp MX shop.test")
            }
        }
    }

    @Test("questions beyond the bound are refused here, and go to the next source")
    func bounded() async throws {
        try await self.trusting { fixture in
            try await FakeNameServer.run(.silent, isEncrypted: true) { silent in
                try await FakeNameServer.run(zone: ResolverFixture.zone) { good in
                    let chain = fixture.chain([try self.source(silent), ResolverFixture.source(good)])
                    let results = await withTaskGroup(of: [String].self) { group in
                        for number in 0..<120 {
                            group.addTask { await chain.text(of: "host\(number).test").observations.map(\.result) }
                        }
                        return await group.reduce(into: []) { $0.append($1) }
                    }
                    #expect(results.contains(["too many questions at a time", "NXDOMAIN"]))
                    #expect(silent.questions.count <= 100)
                }
            }
        }
    }

    @Test("a server that cannot prove its name is not believed, and the next source is asked")
    func proves() async throws {
        try await FakeNameServer.run(zone: ResolverFixture.zone) { good in
            try await FakeNameServer.run(zone: ResolverFixture.zone, isEncrypted: true) { server in
                let untrusted = self.fixture.chain([try self.source(server), ResolverFixture.source(good)])
                let first = await untrusted.mailExchangers(of: "shop.test").observations.map(\.result)
                #expect(first.count == 2 && first[0].hasPrefix("TLS: "), "\(first)")
                #expect(server.questions.isEmpty, "nothing was asked of a stranger")
            }
            // At another address than the one in the certificate, which would do as well as the name.
            try await FakeNameServer.run(isEncrypted: true, host: "127.0.0.2") { server in
                try await self.trusting { fixture in
                    let misnamed = try DNSSource("tls://other.example@127.0.0.2:\(server.port)")
                    let chain = fixture.chain([misnamed, ResolverFixture.source(good)])
                    let second = await chain.mailExchangers(of: "shop.test").observations.map(\.result)
                    #expect(second == ["the certificate is for another name", "2 records"])
                }
                #expect(server.questions.isEmpty)
            }
        }
    }

    @Test("a server without TLS, and one that is not there, are left for the next source")
    func absent() async throws {
        try await FakeNameServer.run(zone: ResolverFixture.zone) { good in
            let plain = self.fixture.chain([try self.source(good), ResolverFixture.source(good)])
            #expect(await plain.mailExchangers(of: "shop.test").observations.map(\.result).last == "2 records")
            guard case .server(_, let port) = try await ResolverFixture.closedPort() else {
                return
            }
            let closed = self.fixture.chain([try DNSSource("tls://127.0.0.1:\(port)"), ResolverFixture.source(good)])
            let found = await closed.mailExchangers(of: "shop.test")
            #expect(found.observations.map(\.result) == ["port closed", "2 records"])
        }
    }

    @Test("a connection that the server closed is opened again for the next question")
    func reopens() async throws {
        try await self.trusting { fixture in
            try await FakeNameServer.run(
                .closesAfterAnswer,
                zone: ResolverFixture.zone,
                isEncrypted: true
            ) { server in
                let chain = fixture.chain([try self.source(server)])
                for number in 0..<20 {
                    let found = await chain.text(of: "host\(number).test")
                    #expect(found.observations.map(\.result) == ["NXDOMAIN"])
                }
                #expect(server.connections >= 20)
            }
        }
    }

    @Test(
        "garbage and silence over TLS are the source's failure",
        arguments: [
            (FakeNameServer.Behaviour.garbage, "garbage"), (.silent, "no answer"), (.code(2), "SERVFAIL"),
        ]
    )
    func fails(_ behaviour: FakeNameServer.Behaviour, _ result: String) async throws {
        try await self.trusting { fixture in
            try await FakeNameServer.run(behaviour, isEncrypted: true) { bad in
                try await FakeNameServer.run(zone: ResolverFixture.zone) { good in
                    let chain = fixture.chain([try self.source(bad), ResolverFixture.source(good)])
                    let found = await chain.mailExchangers(of: "shop.test")
                    #expect(found.observations.map(\.result) == [result, "2 records"])
                }
            }
        }
    }
}
