/// A range of addresses written as `address/length` (RFC 4632, RFC 4291 §2.3).
package struct CIDRBlock: Hashable, Sendable, CustomStringConvertible {
    package let base: IPAddress
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    package let prefixLength: Int

    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a lone address; nil when the length does not fit the address.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let base = IPAddress(String(first)) else {
            return nil
        }
        let widest = base.isIPv6 ? 128 : 32
        guard parts.count == 2 else {
            self.init(base, prefixLength: widest)
            return
        }
        guard let length = Int(parts[1]), (0...widest).contains(length), parts[1].utf8.first != UInt8(ascii: "+") else {
            return nil
        }
        self.init(base, prefixLength: length)
    }

    package init(_ base: IPAddress, prefixLength: Int) {
        self.base = base
        self.prefixLength = prefixLength
    }

    /// Whether an address lies in the block; an IPv4-mapped IPv6 address counts as the IPv4 address inside.
    package func contains(_ address: IPAddress) -> Bool {
        switch (self.base, address.unmapped) {
        case (.v4(let base), .v4(let other)):
            return self.prefixLength == 0 || (base ^ other) >> UInt32(32 - self.prefixLength) == 0
        case (.v6(let high, let low), .v6(let otherHigh, let otherLow)):
            let first = min(self.prefixLength, 64)
            let second = self.prefixLength - first
            return (first == 0 || (high ^ otherHigh) >> UInt64(64 - first) == 0)
                && (second == 0 || (low ^ otherLow) >> UInt64(64 - second) == 0)
        case (.v4, .v6), (.v6, .v4):
            return false
        }
    }

    package var description: String {
        "\(self.base)/\(self.prefixLength)"
    }

    /// Loopback, RFC 1918, carrier-grade NAT excluded, link-local and unique local: "the application's own network".
    package static let privateNetworks: [CIDRBlock] = [
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7",
        "fe80::/10",
    ].compactMap { CIDRBlock($0) }
}
