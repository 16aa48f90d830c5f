import DNSProtocol
import DNSResolver
import Delivery
import Foundation
import MailModel
import NIOCore
import NIOPosix
import TestKit
import Testing

@testable import Gateway

@Suite("The doctor's checks")
struct ChecksTests {
    // MARK: resolv.conf

    @Test("resolv.conf is read with what Docker writes into its comments")
    func resolvConf() {
        let docker = "nameserver 127.0.0.11\nsearch .\noptions ndots:0\n# ExtServers: [host(10.0.0.2) 8.8.8.8]\n"
        let finding = ResolvConfFile.finding(docker, path: "/r", isUsed: true)
        #expect(finding.result == .pass)
        #expect(finding.detail.hasSuffix("Docker's own resolver, which forwards to host(10.0.0.2), 8.8.8.8"))
        #expect(ResolvConfFile.finding(nil, path: "/r", isUsed: true).fact == .noServers(path: "/r"))
        #expect(ResolvConfFile.finding("search a\n", path: "/r", isUsed: true).result == .fail)
        #expect(ResolvConfFile.finding(nil, path: "/r", isUsed: false).result == .skip)
        let four = (1...4).map { "nameserver 192.0.2.\($0)" }.joined(separator: "\n")
        #expect(ResolvConfFile.finding(four, path: "/r", isUsed: true).result == .warn)
    }

    @Test("the copy in the chroot of an old Postfix is found and explained")
    func chroot() {
        let found = { (isThere: Bool, hasMail: Bool, jailed: String?) in
            ResolvConfFile.chrootFinding(
                spool: "/s",
                isThere: isThere,
                hasMail: hasMail,
                jailed: jailed,
                system: "nameserver 127.0.0.11"
            )
        }
        #expect(found(false, false, nil).result == .skip)
        #expect(found(true, false, nil).result == .pass)
        #expect(found(true, true, nil).detail.contains("finds no name at all"))
        let stale = found(true, true, "nameserver 10.9.8.7\n")
        #expect(stale.result == .warn)
        #expect(stale.detail.contains("with a stale copy"))
        #expect(stale.detail.contains("hikyaku take-over /s"))
        #expect(found(true, false, "nameserver 127.0.0.11").result == .pass)
    }

    // MARK: Sources

    private static func report(
        _ source: String,
        _ type: String,
        _ result: String,
        _ records: [String] = [],
        name: String = "shop.test"
    ) throws -> NamedReport {
        let fields = [source, type, result].map { "\"\($0)\"" }
        let json = """
            {"source": \(fields[0]), "type": \(fields[1]), "transport": "udp", "result": \(fields[2]),
             "isAuthenticated": false, "flags": "", "records": [\(records.map { "\"\($0)\"" }.joined(separator: ","))],
             "milliseconds": 1}
            """
        return NamedReport(name: name, report: try JSONDecoder().decode(SourceReport.self, from: Data(json.utf8)))
    }

    @Test("what is wrong with a source is told by what it says to which type")
    func sources() throws {
        let table = try SourceTable(
            reports: [
                Self.report("good", "MX", "NOERROR", ["10 mx"]), Self.report("good", "A", "NOERROR", ["192.0.2.1"]),
                Self.report("refuser", "MX", "REFUSED (not authoritative)"),
                Self.report("refuser", "A", "NOERROR", ["192.0.2.1"]),
                Self.report("silent", "MX", "no answer"), Self.report("silent", "A", "no answer"),
                Self.report("liar", "MX", "NXDOMAIN"), Self.report("liar", "A", "NXDOMAIN"),
                Self.report("half", "MX", "NOERROR", ["10 mx"]), Self.report("half", "A", "SERVFAIL"),
                Self.report("half", "A", "NOERROR", ["192.0.2.2"], name: "relay.test"),
                Self.report("half", "MX", "SERVFAIL", name: "relay.test"),
                Self.report("validator", "MX", "SERVFAIL (DNSSEC: signature expired)"),
                Self.report("lame", "MX", "NOERROR (lame)"),
                Self.report("inventor", "MX", "NOERROR", ["10 mx"]),
                Self.report("inventor", "A", "NOERROR", ["192.0.2.1"]),
            ],
            inventions: [Self.report("inventor", "A", "NOERROR", ["192.0.2.66"]).report]
        )
        #expect(table.trouble(of: "good") == nil)
        #expect(table.trouble(of: "refuser") == .partial(good: ["A"], bad: ["MX"], .refused))
        #expect(table.trouble(of: "silent") == .whole(.silent))
        #expect(table.trouble(of: "liar") == .denies(name: "shop.test", type: "MX"))
        #expect(table.trouble(of: "half") == .often(2, of: 4, .serverFailure))
        #expect(table.trouble(of: "inventor") == .invents)
        #expect(table.trouble(of: "validator") == .whole(.bogus))
        #expect(table.trouble(of: "lame") == .whole(.other("NOERROR (lame)")))
        #expect(table.words(of: "refuser") == "shop.test MX REFUSED (not authoritative) in 1 ms, A 1 in 1 ms")
    }

    @Test("transports are compared server by server")
    func legs() {
        let answer = LegReport.Result.answer(.noError, isTruncated: false)
        let leg = { (source: String, results: [LegReport.Result]) in
            zip(LegReport.Leg.allCases, results).map { LegReport(source: source, leg: $0, result: $1) }
        }
        let findings = LegsCheck.findings(
            leg("even", [answer, answer, answer]) + leg("dry", Array(repeating: .failure("no answer"), count: 3))
                + leg("no-tcp", [answer, .answer(.noError, isTruncated: true), .failure("port closed")])
                + leg("no-edns", [answer, .answer(.formatError, isTruncated: false), answer])
        )
        #expect(findings.map(\.result) == [.warn, .warn, .pass, .skip])
        #expect(findings[0].detail.hasPrefix("no-tcp: UDP ok, UDP with EDNS truncated, TCP port closed: long answers"))
        #expect(findings[1].detail.hasSuffix("UDP with EDNS FORMERR, TCP ok: we ask it without EDNS"))
        #expect(LegsCheck.finding("s", [answer: 50]).result == .pass)
        let lossy = LegsCheck.finding("s", [answer: 40, .answer(.refused, isTruncated: false): 10])
        #expect(lossy.detail.hasPrefix("s lost 10 of 50 questions at once (10x REFUSED)"))
    }

    @Test("the C library's answers stand beside ours")
    func library() {
        let ours = Lookup<IPAddress>.records([.v4(1), .v4(2)], timeToLive: .zero)
        let nothing = Lookup<IPAddress>.unavailable(Unavailability("x"))
        #expect(LibraryCheck.finding("h.test", ours, .found([.v4(2), .v4(9)])).result == .pass)
        #expect(LibraryCheck.finding("h.test", ours, .found([.v4(9)])).result == .warn)
        #expect(LibraryCheck.finding("h.test", ours, .failed("try again")).detail.contains("other programs"))
        let onlyTheirs = LibraryCheck.finding("h.test", nothing, .found([.v4(9)]))
        #expect(onlyTheirs.fact == .onlyLibraryResolves("h.test"))
        #expect(LibraryCheck.finding("h.test", nothing, .failed("try again")).result == .warn)
        let exchangers = Lookup.records([MailExchanger(preference: 5, host: "mx.test")], timeToLive: .zero)
        #expect(
            LibraryCheck.finding("d.test", exchangers, .failed("x")).detail.hasPrefix("res_query has no answer to MX")
        )
    }

    // MARK: Ports

    @Test("a port is open when anybody can be reached on it; what vanishes is blocked; a refusal alone proves nothing")
    func ports() {
        let call = { (host: String, port: Int, isUsed: Bool, state: PortState) in
            PortsCheck.Call(target: PortTarget(host: host, port: port), isUsed: isUsed, state: state)
        }
        let findings = PortsCheck.findings([
            call("a", 587, true, .silent), call("b", 465, false, .refused), call("a", 465, false, .open(banner: nil)),
            call("a", 2_525, false, .refused), call("c", 443, false, .unreachable("Network is unreachable")),
        ])
        #expect(findings.map(\.check) == ["out 443", "out 465", "out 587", "out 2525"])
        #expect(findings.map(\.result) == [.warn, .pass, .warn, .skip])
        #expect(findings[2].detail == "a no answer (blocked?); open are 465")
    }

    @Test("exchangers are called until one answers")
    func portFinding() {
        let open = WaysOutCheck.portFinding(25, [("a", .silent), ("b", .open(banner: "220 b"))], way: "direct")
        #expect(open.result == .pass)
        #expect(open.fact == .way("direct", trouble: nil))
        let blocked = WaysOutCheck.portFinding(25, [("a", .silent), ("b", .silent)], way: "direct")
        #expect(blocked.fact == .blocked(port: 25, .silent))
        let listed = WaysOutCheck.portFinding(25, [("mx", .open(banner: "554 5.7.1 listed"))], way: "direct")
        #expect(listed.fact == .way("direct", trouble: "mx turns us away: 554 5.7.1 listed"))
    }

    @Test("a call hears the greeting and leaves; who says nothing is told apart from who is not there")
    func knocks() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let loopback = IPAddress.v4(0x7F00_0001)
        try await FakeExchanger.run { exchanger in
            let heard = await PortProbe.knock(at: loopback, port: exchanger.port, heloName: "gw.test", on: group)
            #expect(heard.state == .open(banner: "220 mx.example.test ESMTP"))
            let deaf = await PortProbe.knock(at: loopback, port: exchanger.port, heloName: nil, on: group)
            #expect(deaf.state == .open(banner: nil))
            #expect(exchanger.record.messages.isEmpty)
        }
        var script = FakeExchangerScript()
        script.always[.greeting] = .drop
        try await FakeExchanger.run(script) { exchanger in
            let heard = await PortProbe.knock(at: loopback, port: exchanger.port, heloName: "gw.test", on: group)
            #expect(heard.state == .mute)
        }
        script.always[.greeting] = .endlessLine
        try await FakeExchanger.run(script) { exchanger in
            let heard = await PortProbe.knock(at: loopback, port: exchanger.port, heloName: "gw.test", on: group)
            #expect(heard.state == .mute)
        }
        let closed = try await FakeNameServer.run { $0.port }
        let refused = await PortProbe.knock(at: loopback, port: closed, heloName: "gw.test", on: group)
        #expect(refused.state == .refused)
    }

    @Test("our address is heard in the reply to EHLO")
    func hearsAddress() async throws {
        var script = FakeExchangerScript()
        script.always[.ehlo] = .reply("250-mx.test at your service, [203.0.113.9]\r\n250 SIZE")
        try await FakeExchanger.run(script) { exchanger in
            let heard = await PortProbe.knock(
                at: .v4(0x7F00_0001),
                port: exchanger.port,
                heloName: "gw.test",
                on: MultiThreadedEventLoopGroup.singleton
            )
            #expect(heard.ownAddress == IPAddress("203.0.113.9"))
        }
    }

    // MARK: Machine and queue

    @Test("disk and clock are judged")
    func machine() {
        let disk = { MachineCheck.disk("/d", free: $0, freeNodes: $1, access: $2) }
        #expect(disk(2 << 30, nil, .writable).result == .pass)
        #expect(disk(500 << 20, 1_000_000, .writable).result == .warn)
        #expect(disk(50 << 20, nil, .writable).result == .fail)
        #expect(disk(2 << 30, 10, .writable).result == .fail)
        #expect(disk(2 << 30, nil, .refused).result == .fail)
        // Whoever may not write there has learned nothing about the gateway.
        let other = disk(2 << 30, nil, .ofAnother(4_711))
        #expect(other.result == .warn)
        #expect(other.fact == nil)
        #expect(other.detail.contains("uid 4711"))
        let now = Timestamp(seconds: 1_800_000_000)
        #expect(MachineCheck.clock(now: now, server: now + .seconds(30), from: "a").result == .pass)
        #expect(MachineCheck.clock(now: now, server: now + .seconds(90), from: "a").detail == "90 s behind a")
        #expect(MachineCheck.clock(now: Timestamp(seconds: 0), server: nil, from: "").result == .fail)
    }

    @Test("what is looked up is where mail waits or went, never where our reports go")
    func recentDomain() {
        let message = { (age: Int64, sender: String, recipients: [RecipientRecord]) in
            var message = SampleHistory.message(recipients: recipients)
            message.arrivedAt = SampleHistory.now + .seconds(-age)
            message.reversePath = sender
            return message
        }
        let one = { (mailbox: String, state: RecipientRecord.State) in SampleHistory.recipient(0, mailbox, state) }
        let report = message(1, "", [one("noreply@app.example", .waiting)])
        let local = message(2, "a@app.example", [one("root@localhost", .delivered), one("x@[192.0.2.1]", .waiting)])
        let last = message(3, "a@app.example", [one("a@good.example", .delivered), one("b@Bad.example", .bounced)])
        let older = message(9, "a@app.example", [one("c@slow.example", .waiting)])
        #expect(Doctor.recentDomain([report, local]) == nil)
        #expect(Doctor.recentDomain([report, local, last]) == "bad.example")
        #expect(Doctor.recentDomain([older, last, local, report]) == "slow.example")
    }

    @Test("the queue is told by age and reasons")
    func queue() {
        let backlog = Backlog(
            waiting: 5_000,
            held: 1,
            oldestArrival: SampleHistory.arrival,
            reasons: [.init(text: "4.4.3 no DNS", count: 4_998), .init(text: nil, count: 2)],
            lastDelivery: SampleHistory.delivered.finishedAt
        )
        let findings = QueueCheck.findings(backlog, now: SampleHistory.now)
        #expect(findings.map(\.result) == [.warn, .pass, .warn])
        let told = "5000 wait, the oldest for 30 min; last delivery 29 min ago; 4998x 4.4.3 no DNS; 2x not tried yet"
        #expect(findings[0].detail == told)
        let nothing = QueueCheck.findings(Backlog(), now: SampleHistory.now)
        #expect(nothing[0].detail == "nothing waits; nothing was delivered yet")
    }

    @Test("a provider's answer is told with its host, and its clock compared")
    func probes() {
        let failure = Failure(
            .permanent,
            .provider,
            .auth,
            status: .init(5, 7, 8),
            text: "535 5.7.8 bad credentials",
            reason: .authenticationFailed
        )
        let bad = WaysOutCheck.findings(
            "gmail",
            .init(host: "h:587", text: "", failure: failure),
            now: SampleHistory.now
        )
        #expect(bad.map(\.detail) == ["h:587: 535 5.7.8 bad credentials"])
        let good = WaysOutCheck.findings(
            "api",
            .init(host: "h:443", text: "ok", serverTime: SampleHistory.now + .seconds(300)),
            now: SampleHistory.now
        )
        #expect(good.map(\.result) == [.pass, .fail])
    }

    @Test("little left of a quota warns, nothing left fails and closes the way, and not to be told is no trouble")
    func quotas() {
        let quotas: [(ProviderQuota, DoctorFinding.Result, String)] = [
            (.unlimited, .pass, "no limit"),
            (.untold("HTTP 403"), .skip, "not told: HTTP 403"),
            (.allowance(.init(remaining: 60, limit: 100, period: "daily")), .pass, "60 of 100 left, daily"),
            (.allowance(.init(remaining: 9, limit: 100, period: "")), .warn, "9 of 100 left"),
            (
                .allowance(.init(remaining: 0, limit: 100, overage: 7, period: "")), .warn,
                "0 of 100 left and 7 sent beyond, which are charged"
            ),
            (.allowance(.init(remaining: 0, limit: 100, period: "x")), .fail, "the quota is spent (0 of 100 left, x)"),
        ]
        for (quota, result, text) in quotas {
            var probe = ProviderProbe(host: "h:443", text: "ok")
            probe.quota = quota
            let findings = WaysOutCheck.findings("api", probe, now: SampleHistory.now)
            #expect(findings.map(\.check) == ["api", "quota api"])
            #expect(findings.map(\.result) == [.pass, result] && findings.last?.detail == text)
            let trouble = result == .fail ? text : nil
            #expect(findings.compactMap(\.fact) == [.way("api", trouble: trouble)])
        }
    }
}
