import DNSProtocol
import MailModel
import Testing

@Suite("Addresses to which mail must not go")
struct AddressFilterTests {
    private let filter = AddressFilter(
        allowed: ["10.25.0.0/16", "fd25::/16"].compactMap { CIDRBlock($0) },
        own: ["8.8.4.4", "2600::25"].compactMap { IPAddress($0) }.reduce(into: []) { $0.insert($1) }
    )

    @Test(
        "loopback, private, link-local, multicast, documentation and reserved addresses are refused in every dress",
        arguments: [
            "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
            "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1",
            "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
            "fec0::1", "fc00::1", "fdff::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "2001::1",
            "2001:2::1", "2001:10::1", "64:ff9b:1::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1",
            "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::1", "2002:a00:1::1",
            "2600::5efe:10.0.0.1",
            "2600::200:5efe:192.168.0.1",
        ]
    )
    func prohibited(_ text: String) throws {
        #expect(self.filter.verdict(on: try #require(IPAddress(text))) == .prohibited)
    }

    @Test(
        "the rest of the world may be used",
        arguments: [
            "8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "198.20.0.1",
            "223.255.255.255",
            "2600::1", "2a00:1450:4013::1b", "2001:4860:4860::8888", "64:ff9b::808:808", "2002:808:808::1",
            "::ffff:8.8.8.8",
        ]
    )
    func usable(_ text: String) throws {
        #expect(self.filter.verdict(on: try #require(IPAddress(text))) == .usable)
    }

    @Test("our own addresses are told apart, in every dress", arguments: ["8.8.4.4", "::ffff:8.8.4.4", "2600::25"])
    func own(_ text: String) throws {
        #expect(self.filter.verdict(on: try #require(IPAddress(text))) == .ourOwn)
    }

    @Test(
        "what the operator allows may be used, and nothing beside it",
        arguments: [
            ("10.25.1.1", AddressFilter.Verdict.usable), ("::ffff:10.25.1.1", .usable), ("fd25::1", .usable),
            ("10.26.1.1", .prohibited), ("fd26::1", .prohibited),
        ]
    )
    func allowed(_ text: String, _ verdict: AddressFilter.Verdict) throws {
        #expect(self.filter.verdict(on: try #require(IPAddress(text))) == verdict)
    }
}
