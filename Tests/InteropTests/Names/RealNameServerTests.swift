import DNSProtocol
import DNSResolver
import MailModel
import Testing

/// Our resolver against nsd, unbound and dnsmasq.
struct RealNameServerTests {
    @Test("every real server's answers are read as the zone says")
    func answers() async throws {
        try await NameServers.run { servers in
            for kind in NameServers.Kind.allCases {
                let chain = servers.chain(kind)
                let exchangers = [
                    MailExchanger(preference: 10, host: "mx1.shop.test"),
                    MailExchanger(preference: 20, host: "mx2.shop.test"),
                ]
                for name in ["shop.test", "SHOP.Test.", "alias.shop.test"] {
                    let found = await chain.mailExchangers(of: name)
                    #expect(found.records.sorted { $0.preference < $1.preference } == exchangers, "\(kind) \(found)")
                }
                let null = await chain.mailExchangers(of: "null.shop.test")
                #expect(null.records == [MailExchanger(preference: 0, host: "")], "\(kind) \(null)")
                let addresses = await chain.addresses(of: "mx1.shop.test")
                #expect(
                    Set(addresses.records.map(\.description)) == ["192.0.2.1", "2001:db8::1"],
                    "\(kind) \(addresses)"
                )
                let single = await chain.addresses(of: "mx2.shop.test")
                #expect(single.records.map(\.description) == ["192.0.2.2"], "\(kind) \(single)")
                let bare = await chain.mailExchangers(of: "bare.shop.test")
                #expect(bare.observations.map(\.result) == ["no data"], "\(kind) \(bare)")
                let unknown = await chain.mailExchangers(of: "unknown.shop.test")
                #expect(unknown.observations.map(\.result) == ["NXDOMAIN"], "\(kind) \(unknown)")
                guard case .noSuchName = unknown.lookup, case .noData = bare.lookup else {
                    Issue.record("\(kind) \(unknown) \(bare)")
                    return
                }
            }
        }
    }

    @Test("an answer that does not fit a datagram comes over TCP, whole")
    func truncated() async throws {
        try await NameServers.run { servers in
            for kind in NameServers.Kind.allCases {
                let found = await servers.chain(kind).mailExchangers(of: "many.shop.test")
                #expect(found.records.count == NameServers.many, "\(kind) \(found.observations)")
                #expect(found.observations.map(\.result) == ["\(NameServers.many) records over TCP"], "\(kind)")
            }
        }
    }

    @Test("a zone that a server does not serve is no word about the name")
    func notServed() async throws {
        try await NameServers.run { servers in
            let found = await servers.chain(.nsd).mailExchangers(of: "elsewhere.test")
            // Newer servers add a reason to it (RFC 8914 §4.21).
            #expect(found.observations.map(\.result).allSatisfy { $0.hasPrefix("REFUSED") })
            #expect(found.observations.count == 1)
            guard case .unavailable = found.lookup else {
                Issue.record("\(found)")
                return
            }
        }
    }

    @Test("when a server dies the next one answers, and the dead one is on record")
    func dies() async throws {
        try await NameServers.run { servers in
            let chain = servers.chain(.dnsmasq, .unbound)
            _ = await chain.mailExchangers(of: "shop.test")
            await servers.kill(.dnsmasq)
            chain.flush()
            let found = await chain.mailExchangers(of: "shop.test")
            #expect(found.observations.map(\.result) == ["port closed", "2 records"])
            #expect(found.observations.map(\.source) == ["\(servers.source(.dnsmasq))", "\(servers.source(.unbound))"])
        }
    }

    @Test("a forwarder whose upstream is dead says SERVFAIL or nothing, which bounces nobody")
    func deadUpstream() async throws {
        try await NameServers.run { servers in
            await servers.kill(.nsd)
            let found = await servers.chain(.unbound).mailExchangers(of: "other.shop.test")
            guard case .unavailable = found.lookup else {
                Issue.record("\(found)")
                return
            }
        }
    }
}

extension Resolution {
    fileprivate var records: [Record] {
        if case .records(let records, _) = self.lookup { records } else { [] }
    }
}
