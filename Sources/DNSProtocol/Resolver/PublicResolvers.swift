package import MailModel

/// Public resolvers by the names of those who run them, and which servers speak with one voice.
package enum PublicResolvers {
    /// Two plain ones, and the same over HTTPS for networks that let only that out.
    package static let sources: [DNSSource] = [
        "8.8.8.8", "1.1.1.1", "https://dns.google@8.8.8.8/dns-query", "https://1.1.1.1/dns-query",
    ].compactMap { try? DNSSource($0) }  // Literals, read by a test.

    private static let operators = index([
        "Google": ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"],
        "Cloudflare": ["1.1.1.1", "1.0.0.1", "2606:4700:4700::1111", "2606:4700:4700::1001"],
        "Quad9": ["9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9"],
        "OpenDNS": ["208.67.222.222", "208.67.220.220", "2620:119:35::35", "2620:119:53::53"],
        "AdGuard": ["94.140.14.14", "94.140.15.15", "2a10:50c0::ad1:ff", "2a10:50c0::ad2:ff"],
    ])

    /// Addresses of this machine behind which one and the same server listens.
    private static let local = index([
        "loopback": ["127.0.0.1", "::1"], "systemd-resolved": ["127.0.0.53", "127.0.0.54"],
    ])

    /// Who runs the public resolver at an address; nil for all others.
    package static func operatorName(of address: IPAddress) -> String? {
        self.operators[address]
    }

    fileprivate static func voice(of address: IPAddress) -> String {
        self.operators[address] ?? self.local[address] ?? address.description
    }

    private static func index(_ table: [String: [String]]) -> [IPAddress: String] {
        table.reduce(into: [:]) { index, row in
            row.value.compactMap(IPAddress.init).forEach { index[$0] = row.key }
        }
    }
}

extension DNSSource {
    /// A source of which everybody may ask anything.
    package var isPublic: Bool {
        switch self {
        case .system: false
        case .server(let address, _), .tls(_, let address, _), .https(_, let address, _, _):
            PublicResolvers.operatorName(of: address) != nil
        }
    }

    package var isEncrypted: Bool {
        switch self {
        case .system, .server: false
        case .tls, .https: true
        }
    }

    /// Whose word it is: what one operator says over UDP, TLS and HTTPS is said once.
    ///
    /// A server at a port of its own is another server, whoever else has the address.
    package var witness: String {
        let address: IPAddress
        let (port, usual): (Int, Int)
        switch self {
        case .system: return "system"
        case .server(let host, let at): (address, port, usual) = (host, at, 53)
        case .tls(_, let host, let at): (address, port, usual) = (host, at, 853)
        case .https(_, let host, let at, _): (address, port, usual) = (host, at, 443)
        }
        let voice = PublicResolvers.voice(of: address)
        return port == usual ? voice : "\(voice) port \(port)"
    }

    /// Who stands behind it, where resolv.conf names some servers: those are one party, whatever transport they are asked over,
    /// since they mostly pass questions on to the same one; but for public resolvers, whose operators are known.
    package func party(besides system: [IPAddress]) -> String {
        let own = self.witness
        let isOfSystem = system.contains { address in
            PublicResolvers.operatorName(of: address) == nil && DNSSource.server(address, port: 53).witness == own
        }
        return isOfSystem ? DNSSource.system.witness : own
    }
}
