import DNSResolver
import Delivery
import Gateway
import TestKit
import Testing

@Suite("A gateway whose names cannot be resolved")
struct NameTroubleTests {
    private let zone: [String: [FakeNameServer.Record]] = ["A relay.test": [.address(0x7F00_0001)]]

    /// Every wait is an hour, so that what goes goes because DNS is back.
    private func settings(
        _ server: FakeNameServer,
        _ exchanger: FakeExchanger,
        serveStale: String = "0"
    ) -> String {
        """
        hostname: gw.example.test
        listeners: { smtp: { port: 0, allow: loopback } }
        dns: { sources: ["127.0.0.1:\(server.port)"], source-timeout: 5s, lookup-timeout: 10s, serve-stale: \(serveStale) }
        retry:
          { first-delay: 1h, max-delay: 1h, outage-delay: 1h, breaker-delay: 1h, breaker-max-delay: 1h }
        chain: [relay]
        providers:
          relay: { kind: smarthost, host: relay.test, port: \(exchanger.port), tls: none }

        """
    }

    @Test("says which source fails and why, and delivers what waited as soon as it answers again")
    func recovers() async throws {
        try await FakeNameServer.run(.code(5), zone: self.zone) { server in
            try await FakeExchanger.run { exchanger in
                let folder = try GatewayFolder()
                let whole = "data-directory: \(folder.data)\n" + self.settings(server, exchanger)
                try await folder.run(whole: whole) { gateway in
                    let id = try await gateway.accept()
                    _ = try await gateway.wait(for: id, .waiting)
                    try await eventually("the source is failing") {
                        let sources = try await gateway.ask(.dnsSources).status?.dnsSources ?? []
                        return sources.map(\.isHealthy) == [false] && sources.map(\.failure) == ["REFUSED"]
                    }
                    server.behave(.honest)
                    _ = try await gateway.wait(for: id, .delivered)
                    let status = try #require(try await gateway.ask(.dnsSources).status)
                    #expect(status.dnsSources.map(\.isHealthy) == [true])
                    #expect(status.breakers.isEmpty)
                }
            }
        }
    }

    @Test("delivers with the last good answer after a restart into an outage, and the attempt says so")
    func staleAcrossRestart() async throws {
        try await FakeNameServer.run(zone: self.zone) { server in
            try await FakeExchanger.run { exchanger in
                let folder = try GatewayFolder()
                let whole =
                    "data-directory: \(folder.data)\n" + self.settings(server, exchanger, serveStale: "7d")
                try await folder.run(whole: whole) { gateway in
                    _ = try await gateway.wait(for: try await gateway.accept(), .delivered)
                }
                server.behave(.code(5))
                try await folder.run(whole: whole) { gateway in
                    let record = try await gateway.wait(for: try await gateway.accept(), .delivered)
                    let told = record.attempts.flatMap(\.evidence.resolution).joined(separator: "\n")
                    #expect(told.contains("REFUSED") && told.contains("store 1 record"), "\(told)")
                }
            }
        }
    }

    @Test("shows what a source says of the types that are asked for")
    func looksUp() async throws {
        try await FakeNameServer.run(zone: ["TXT relay.test": [.text("here")]]) { server in
            try await FakeExchanger.run { exchanger in
                let folder = try GatewayFolder()
                let whole = "data-directory: \(folder.data)\n" + self.settings(server, exchanger)
                try await folder.run(whole: whole) { _ in
                    var request = ControlRequest(.dnsLookup, subject: "relay.test")
                    request.types = ["txt", "MX"]
                    let reports = try await ControlClient.send(request, to: folder.socket).lookups ?? []
                    #expect(reports.map(\.type) == ["TXT", "MX"])
                    #expect(reports.map(\.records) == [["\"here\""], []])
                    #expect(reports.map(\.result) == ["NOERROR", "NOERROR"] && reports.map(\.flags) == ["ra", "ra"])
                    #expect(reports.map(\.transport) == ["udp", "udp"] && reports.map(\.timeToLive) == [60, nil])
                    request.types = ["ANY"]
                    let refusal = try await ControlClient.send(request, to: folder.socket)
                    #expect(refusal.error?.hasPrefix("\"ANY\" is no record type") == true)
                }
            }
        }
    }
}
