import Delivery
import Foundation
import Logging
import MailModel
import SQLiteStore
import Synchronization
import TestKit
import Testing

@testable import Gateway

@Suite("The doctor at a running gateway")
struct DoctorTests {
    private static let zone: [String: [FakeNameServer.Record]] = [
        "MX shop.test": [.exchanger(10, "mx.shop.test")], "A mx.shop.test": [.address(0x7F00_0001)],
        "A shop.test": [.address(0x7F00_0001)], "A relay.test": [.address(0x7F00_0001)],
    ]

    /// A good server behind one that errs, an exchanger, and a relay that wants a login.
    private func configuration(
        _ servers: [FakeNameServer],
        _ exchanger: FakeExchanger,
        _ relay: FakeExchanger
    ) -> String {
        """
        hostname: gw.example.test
        data-directory: DATA
        listeners: { smtp: { port: 0, allow: loopback } }
        chain: [direct, relay]
        providers:
          direct: { kind: direct-mx, port: \(exchanger.port), allow-networks: [127.0.0.0/8], tls: none }
          relay: { kind: smarthost, host: relay.test, port: \(relay.port), tls: none, username: app, password: wrong-horse,
                   auth-without-tls: true }
        dns:
          sources: [\(servers.map { "\"127.0.0.1:\($0.port)\"" }.joined(separator: ", "))]
          source-timeout: 10s
          lookup-timeout: 20s
          head-start: 5s
        doctor: { compare-libc: false, port-targets: [], test-domain: shop.test, public-address: [192.0.2.9] }
        """
    }

    private func run(
        _ first: FakeNameServer.Behaviour,
        _ body: (GatewayFolder, GatewayConfiguration, [FakeNameServer]) async throws -> Void
    ) async throws {
        var script = FakeExchangerScript()
        script.mechanisms = ["PLAIN"]
        script.offersAuthInClear = true
        script.authReplies = Array(repeating: "535 5.7.8 bad credentials", count: 20)
        try await FakeNameServer.run(first, zone: Self.zone) { errant in
            try await FakeNameServer.run(zone: Self.zone) { good in
                try await FakeExchanger.run { exchanger in
                    try await FakeExchanger.run(script) { relay in
                        let folder = try GatewayFolder()
                        let text = self.configuration([errant, good], exchanger, relay)
                        let configuration = try ConfigurationLoader.parse(
                            text.replacingOccurrences(of: "DATA", with: folder.data),
                            source: "hikyaku.yaml",
                            environment: [:]
                        )
                        try await body(folder, configuration, [errant, good])
                    }
                }
            }
        }
    }

    @Test("examines through the control socket, with the parts that deliver, and prints no secret")
    func examines() async throws {
        try await self.run(.code(5)) { folder, configuration, servers in
            try await folder.run(configuration, .silent) { gateway in
                var request = ControlRequest(.doctor)
                request.doctor = DoctorOptions(spool: folder.path)
                let report = try #require(
                    try await ControlClient.send(request, to: folder.socket, patience: .seconds(60)).doctor
                )
                let names = servers.map { "127.0.0.1:\($0.port)" }
                #expect(
                    report.verdict.hasPrefix("\(names[0]) refuses every question; using \(names[1])"),
                    "\(report.text)"
                )
                let results = Dictionary(report.findings.map { ($0.check, $0) }) { first, _ in first }
                #expect(results["dns \(names[0])"]?.result == .fail)
                #expect(results["dns \(names[1])"]?.result == .pass)
                #expect(results["relay"]?.detail.contains("535 5.7.8 bad credentials") == true)
                #expect(results["gateway"]?.result == .pass)
                #expect(results["old chroot"]?.result == .skip)
                #expect(report.hasFailure)
                #expect(!report.text.contains("wrong-horse"))
            }
        }
    }

    @Test("without a gateway the same code runs on the configuration")
    func examinesAlone() async throws {
        try await self.run(.honest) { folder, configuration, _ in
            let report = await Doctor.examine(configuration, DoctorOptions(domain: "shop.test", spool: folder.path))
            #expect(report.verdict.hasSuffix("no gateway is running here"), "\(report.text)")
            #expect(report.findings.contains { $0.check.hasPrefix("port ") && $0.result == .pass }, "\(report.text)")
        }
    }

    @Test("a silent source costs the doctor no more than its time")
    func silent() async throws {
        try await self.run(.silent) { folder, configuration, servers in
            var impatient = configuration
            impatient.dns.sourceTimeout = .milliseconds(300)
            impatient.dns.headStart = .milliseconds(50)
            let report = await Doctor.examine(impatient, DoctorOptions(domain: "shop.test", spool: folder.path))
            #expect(report.verdict.contains("127.0.0.1:\(servers[0].port) does not answer"), "\(report.text)")
        }
    }

    @Test("a source that denies what others know is found out, too")
    func findsLiar() async throws {
        try await self.run(.code(3)) { folder, configuration, servers in
            try await folder.run(configuration, .silent) { gateway in
                _ = try await gateway.wait(for: try await gateway.accept(to: ["user@shop.test"]), .delivered)
                var verdict: String?
                try await eventually("the finding is there") {
                    verdict = try await gateway.ask(.status).status?.diagnosis
                    return verdict != nil
                }
                let liar = "127.0.0.1:\(servers[0].port)"
                #expect(verdict?.hasPrefix("\(liar) denies the MX of shop.test that other sources have; using") == true)
            }
        }
    }

    @Test("domains that mail waits for are looked up, too, and their state is told")
    func waitingDomains() async throws {
        try await self.run(.honest) { folder, configuration, servers in
            var held = configuration
            held.retry.firstDelay = .seconds(3_600)
            held.retry.outageDelay = .seconds(3_600)
            try await folder.run(held, .silent) { gateway in
                servers.forEach { $0.behave(.code(2)) }
                let id = try await gateway.accept(to: ["user@other.test"])
                _ = try await gateway.wait(for: id, .waiting)
                var request = ControlRequest(.doctor)
                request.doctor = DoctorOptions(domain: "shop.test", spool: folder.path)
                let report = try #require(
                    try await ControlClient.send(request, to: folder.socket, patience: .seconds(60)).doctor
                )
                #expect(report.findings.contains { $0.check.hasPrefix("dns ") && $0.detail.contains("other.test MX") })
                #expect(report.findings.contains { $0.check == "breaker" }, "\(report.text)")
                #expect(report.verdict.contains("1 recipient waits"), "\(report.verdict)")
            }
        }
    }

    @Test("looks by itself when lookups begin to fail, tells the log once, and keeps the finding with the attempts")
    func watches() async throws {
        let lines = Mutex<[String]>([])
        let logger = Logger(label: "test") { _ in RecordingLogHandler { line in lines.withLock { $0.append(line) } } }
        try await self.run(.code(2)) { folder, configuration, _ in
            try await folder.run(configuration, logger) { gateway in
                let id = try await gateway.accept(to: ["user@shop.test"])
                let message = try await gateway.wait(for: id, .delivered)
                try await eventually("the finding is there") {
                    try await gateway.ask(.status).status?.diagnosis != nil
                }
                var diagnoses: [DiagnosisRecord] = []
                try await eventually("the finding is kept") {
                    diagnoses = try await folder.diagnoses()
                    return !diagnoses.isEmpty
                }
                #expect(diagnoses[0].verdict.contains("answers every question with SERVFAIL"))
                #expect(diagnoses[0].endedAt == nil)
                let trace = TraceRenderer(usesColours: false, now: .now).render(message, diagnoses: diagnoses)
                #expect(trace.contains("doctor: \(diagnoses[0].verdict)"), "\(trace)")
                let json = MessageJSON.text(of: MessageJSON(message, diagnoses: diagnoses))
                #expect(json.contains("SERVFAIL"))
                _ = try await gateway.wait(for: try await gateway.accept(to: ["user@shop.test"]), .delivered)
                #expect(lines.withLock { $0.count { $0.contains("answers every question with SERVFAIL") } } == 1)
            }
            // The next run begins with a clean slate.
            try await folder.run(configuration, .silent) { _ in
                try await eventually("the finding is over") {
                    try await folder.diagnoses().allSatisfy { $0.endedAt != nil }
                }
            }
        }
    }
}

extension GatewayFolder {
    func diagnoses() async throws -> [DiagnosisRecord] {
        let reader = try HistoryReader(directory: self.data)
        defer { reader.close() }
        return try await reader.diagnoses(limit: 10)
    }
}

/// Gives each line to a closure.
private struct RecordingLogHandler: LogHandler {
    let record: @Sendable (String) -> Void
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    init(_ record: @escaping @Sendable (String) -> Void) {
        self.record = record
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        self.record("\(event.message)")
    }
}
