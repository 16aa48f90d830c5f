import DNSProtocol
import DNSResolver
import Foundation
import TestKit
import Testing

/// One question over each transport by itself.
struct LegsTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let behaviour: FakeNameServer.Behaviour
        let expected: [LegReport.Result]
    }

    private static let good = LegReport.Result.answer(.noError, isTruncated: false)
    private static let cut = LegReport.Result.answer(.noError, isTruncated: true)

    static let rows = [
        Row(testDescription: "an honest one", behaviour: .honest, expected: [good, good, good]),
        Row(testDescription: "one that truncates", behaviour: .truncates, expected: [cut, cut, good]),
        Row(
            testDescription: "one that breaks off",
            behaviour: .truncatesAndBreaksOff,
            expected: [cut, cut, .failure("connection lost")]
        ),
        Row(
            testDescription: "one without EDNS",
            behaviour: .rejectsEDNS,
            expected: [good, .answer(.formatError, isTruncated: false), good]
        ),
        Row(
            testDescription: "one that refuses",
            behaviour: .code(5),
            expected: Array(repeating: .answer(.refused, isTruncated: false), count: 3)
        ),
        Row(
            testDescription: "one that babbles",
            behaviour: .garbage,
            expected: Array(repeating: .failure("garbage"), count: 3)
        ),
    ]

    @Test("a server is asked over UDP, with EDNS and over TCP, and nothing is tried instead", arguments: rows)
    func asks(_ row: Row) async throws {
        try await FakeNameServer.run(row.behaviour, zone: ResolverFixture.zone) { server in
            let reports = await ResolverFixture().chain(server).legs("shop.test", .mx)
            #expect(reports.map(\.leg) == LegReport.Leg.allCases)
            #expect(reports.map(\.result) == row.expected)
            #expect(Set(reports.map(\.source)) == ["127.0.0.1:\(server.port)"])
            #expect(server.questions.count == 3)
        }
    }

    @Test("silence is told as such, and a closed port")
    func unheard() async throws {
        var fixture = ResolverFixture()
        fixture.configuration.sourceTimeout = .milliseconds(100)
        try await FakeNameServer.run(.silent) { server in
            let reports = await fixture.chain(server).legs("shop.test", .mx)
            #expect(reports.map(\.result) == Array(repeating: .failure("no answer"), count: 3))
        }
        let closed = try await ResolverFixture.closedPort()
        let reports = await fixture.chain([closed]).legs("shop.test", .mx)
        #expect(reports.map(\.result) == Array(repeating: .failure("port closed"), count: 3))
    }

    @Test("there is no burst where the system names no server")
    func noBurst() async throws {
        #expect(await ResolverFixture().chain([.system]).burst("shop.test", count: 5) == nil)
        #expect(await ResolverFixture().chain([.system]).legs("shop..test", .mx).isEmpty)
    }
}
