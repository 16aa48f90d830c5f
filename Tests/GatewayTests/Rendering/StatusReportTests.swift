import Delivery
import Foundation
import TestKit
import Testing

@testable import Gateway

@Suite("The state of a running gateway")
struct StatusReportTests {
    private func status() throws -> GatewayStatus {
        let json = """
            {"version": "1.0", "hostname": "gw.example.com", "listeners": ["127.0.0.1:25"], "chain": ["direct", "gmail"],
             "waiting": 3, "running": 1, "dnsSources": [{"name": "127.0.0.11", "isHealthy": false,
             "failure": "REFUSED", "failingSeconds": 130, "contradictions": 2, "usesEDNS": false}, {"name": "8.8.8.8",
             "isHealthy": true, "validates": true, "isTrusted": false, "isPublic": true}], "breakers": [{"name": "direct to shop.test", "provider": "direct", "until": "noon",
             "why": "no route"}, {"name": "gmail", "provider": "gmail", "until": "something changes",
             "why": "535 \\u001b[2Jbad password"}], "diagnosis": "127.0.0.11 refuses MX"}
            """
        return try JSONDecoder().decode(GatewayStatus.self, from: Data(json.utf8))
    }

    @Test("is told line by line, with a peer's words disarmed")
    func text() throws {
        let expected = """
            hikyaku 1.0 on gw.example.com
            listening  127.0.0.1:25
            chain      direct, gmail
            attempts   1 running, 3 waiting in memory
            dns        127.0.0.11 (failing), 8.8.8.8
            doctor     127.0.0.11 refuses MX
            closed     direct to shop.test until noon: no route
            closed     gmail until something changes: 535 ?[2Jbad password
            """
        #expect(try self.status().text == expected)
    }

    @Test("the DNS sources stand in the order in which they are asked, with what is held against them")
    func sources() throws {
        let expected = """
            SOURCE      STATE                                   DNSSEC                  NOTES
            127.0.0.11  failing for 2 min, asked last: REFUSED  -                       denied 2 times what others have, without EDNS
            8.8.8.8     good                                    validates, not trusted  public
            """
        #expect(try self.status().sourceTable == expected)
    }

    @Test("a provider is in use although one destination of its is left alone")
    func providers() throws {
        let expected = """
            PROVIDER             STATE
            direct               in use
            direct to shop.test  left alone until noon: no route
            gmail                left alone until something changes: 535 ?[2Jbad password
            """
        #expect(try self.status().providerTable == expected)
        let json = try JSONSerialization.jsonObject(with: Data(MessageJSON.text(of: self.status().providers).utf8))
        let providers = try #require(json as? [[String: Any]])
        #expect(providers.map { $0["name"] as? String } == ["direct", "gmail"])
        #expect(providers.map { $0["isInUse"] as? Bool } == [true, false])
        #expect(providers.map { ($0["leftAlone"] as? [Any])?.count } == [1, 1])
        #expect(providers.map { $0["notListed"] as? Int } == [0, 0])
    }

    @Test("of ever so many ways that are left alone some are listed, whole providers first, and the others are counted")
    func boundsTheList() throws {
        let state = BreakerState(
            openUntil: SampleQueue.moment,
            openedAt: SampleQueue.moment,
            openings: 1,
            reason: .dnsUnavailable,
            text: String(repeating: "long ", count: 10_000)
        )
        var breakers = [BreakerKey(provider: "zeta"): state, BreakerKey(provider: "gmail"): state]
        for number in 0..<20_000 {
            breakers[BreakerKey(provider: "direct", part: .destination("d\(number).test"))] = state
        }
        var status = try self.status()
        (status.breakers, status.otherBreakers) = GatewayStatus.summary(of: breakers)
        #expect(status.breakers.count == 52)
        #expect(status.breakers.last?.name == "zeta")
        #expect(status.breakers.allSatisfy { $0.why.count == 200 })
        #expect(try JSONEncoder().encode(status).count < 32_768)
        let told = "19950 more ways, each for one destination or sender"
        #expect(status.text.hasSuffix("\nclosed     direct: \(told)"))
        #expect(status.providerTable.contains("left alone: \(told)\ngmail"))
        #expect(status.providers.map(\.name) == ["direct", "gmail"])
    }
}
