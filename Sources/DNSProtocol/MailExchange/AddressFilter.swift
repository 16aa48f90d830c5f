package import MailModel

/// Keeps mail from being sent into our own network because a stranger's zone says so.
///
/// Without it an MX to 127.0.0.1 or 10.0.0.1 makes the gateway talk to whatever listens there (SSRF), or to itself.
package struct AddressFilter: Hashable, Sendable {
    /// Blocks that may be used although they are prohibited.
    package var allowed: [CIDRBlock]
    /// Our own addresses: mail sent there would loop.
    package var own: Set<IPAddress>

    package enum Verdict: Hashable, Sendable {
        case usable
        /// Loopback, private, link-local, multicast, documentation and the like.
        case prohibited
        case ourOwn
    }

    package init(allowed: [CIDRBlock] = [], own: Set<IPAddress> = []) {
        self.allowed = allowed
        self.own = own
    }

    /// Judges one address, and the IPv4 address inside where an IPv6 form carries one.
    package func verdict(on address: IPAddress) -> Verdict {
        let inner = Self.embedded(in: address)
        if self.allowed.contains(where: { $0.contains(address) || $0.contains(inner) }) {
            return .usable
        }
        if self.own.contains(address) || self.own.contains(inner) {
            return .ourOwn
        }
        return Self.prohibited.contains { $0.contains(address) || $0.contains(inner) } ? .prohibited : .usable
    }

    /// The IPv4 address inside an IPv6 form that some machine on the way turns back into it; else the address itself.
    private static func embedded(in address: IPAddress) -> IPAddress {
        switch address {
        // Mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96, RFC 2765) and compatible (::/96).
        case .v6(0, let low) where low >> 32 == 0xFFFF || low >> 32 == 0xFFFF_0000 || (low >> 32 == 0 && low > 1):
            .v4(UInt32(truncatingIfNeeded: low))
        // NAT64 (RFC 6052 §2.1).
        case .v6(0x0064_FF9B_0000_0000, let low) where low >> 32 == 0:
            .v4(UInt32(truncatingIfNeeded: low))
        // 6to4 (RFC 3056).
        case .v6(let high, _) where high >> 48 == 0x2002:
            .v4(UInt32(truncatingIfNeeded: high >> 16))
        // ISATAP (RFC 5214 §6.1), with either value of the universal bit.
        case .v6(_, let low) where low >> 32 == 0x0000_5EFE || low >> 32 == 0x0200_5EFE:
            .v4(UInt32(truncatingIfNeeded: low))
        case .v4, .v6:
            address
        }
    }

    /// The IANA special-purpose registries (RFC 6890), without what is globally reachable and can be a mail host.
    ///
    /// 2001::/23 holds Teredo, benchmarking and ORCHIDs; 5f00::/16 is for segment routing.
    private static let prohibited: [CIDRBlock] = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "64:ff9b:1::/48", "100::/32", "2001::/23", "2001:db8::/32",
        "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    ].compactMap { CIDRBlock($0) }
}
