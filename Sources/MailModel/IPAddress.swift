/// An IPv4 or IPv6 address without port or zone.
package enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    case v4(UInt32)
    case v6(high: UInt64, low: UInt64)

    /// Reads dotted decimal (RFC 6943 §3.1.1, strict) or the text forms of RFC 4291 §2.2; no brackets, no zone.
    package init?(_ text: String) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let groups = ipv6Groups(text) else {
                return nil
            }
            let halves = [groups[0..<4], groups[4..<8]].map { $0.reduce(UInt64(0)) { $0 << 16 | UInt64($1) } }
            self = .v6(high: halves[0], low: halves[1])
        } else {
            guard let number = ipv4Number(text[...]) else {
                return nil
            }
            self = .v4(number)
        }
    }

    /// Reads the 4 or 16 octets of an address record; nil for any other count.
    package init?(octets: some Collection<UInt8>) {
        switch octets.count {
        case 4:
            self = .v4(octets.reduce(0) { $0 << 8 | UInt32($1) })
        case 16:
            let half = { (part: any Sequence<UInt8>) in part.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
            self = .v6(high: half(octets.prefix(8)), low: half(octets.dropFirst(8)))
        default:
            return nil
        }
    }

    /// The 4 or 16 octets in network order.
    package var octets: [UInt8] {
        switch self {
        case .v4(let number):
            (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32($0))) }
        case .v6(let high, let low):
            [high, low].flatMap { half in
                (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * UInt64($0))) }
            }
        }
    }

    package var isIPv6: Bool {
        switch self {
        case .v4: false
        case .v6: true
        }
    }

    /// The IPv4 address inside an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`), else the address itself.
    package var unmapped: IPAddress {
        if case .v6(0, let low) = self, low >> 32 == 0xFFFF {
            return .v4(UInt32(truncatingIfNeeded: low))
        }
        return self
    }

    /// Dotted decimal, or the canonical form of RFC 5952.
    package var description: String {
        switch self {
        case .v4(let number):
            return dottedDecimal(number)
        case .v6(0, let low) where low >> 32 == 0xFFFF:
            return "::ffff:\(IPAddress.v4(UInt32(truncatingIfNeeded: low)))"
        case .v6(let high, let low):
            return canonicalIPv6(high: high, low: low)
        }
    }

    /// The address as it stands in an SMTP address literal (RFC 5321 §4.1.3): `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
    package var literal: String {
        (self.isIPv6 ? "[IPv6:" : "[") + self.description + "]"
    }
}

private func dottedDecimal(_ number: UInt32) -> String {
    String(unsafeUninitializedCapacity: 15) { text in
        var count = 0
        for shift in [24, 16, 8, 0] as [UInt32] {
            let octet = UInt8(truncatingIfNeeded: number >> shift)
            for divisor in [100, 10, 1] as [UInt8] where octet >= divisor || divisor == 1 {
                text[count] = UInt8(ascii: "0") + octet / divisor % 10
                count += 1
            }
            if shift > 0 {
                text[count] = UInt8(ascii: ".")
                count += 1
            }
        }
        return count
    }
}

private func ipv4Number(_ text: Substring) -> UInt32? {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else {
        return nil
    }
    var number: UInt32 = 0
    for part in parts {
        guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }),
            part.count == 1 || part.first != 0x30
        else {
            return nil
        }
        let value = part.reduce(UInt32(0)) { $0 * 10 + UInt32($1 - 0x30) }
        guard value <= 255 else {
            return nil
        }
        number = number << 8 | value
    }
    return number
}

private func ipv6Groups(_ text: String) -> [UInt16]? {
    let bytes = Array(text.utf8)
    let colon = UInt8(ascii: ":")
    let gap = bytes.indices.dropLast().first { bytes[$0] == colon && bytes[$0 + 1] == colon }
    guard let gap else {
        guard let groups = plainGroups(text[...]), groups.count == 8 else {
            return nil
        }
        return groups
    }
    let index = text.utf8.index(text.startIndex, offsetBy: gap)
    let after = text.utf8.index(index, offsetBy: 2)
    guard let front = plainGroups(text[..<index]), let back = plainGroups(text[after...]),
        front.count + back.count <= 7, !front.isEmpty || index == text.startIndex
    else {
        return nil
    }
    return front + Array(repeating: 0, count: 8 - front.count - back.count) + back
}

/// Groups without `::`; the last one may be an IPv4 address and then counts for two.
private func plainGroups(_ text: Substring) -> [UInt16]? {
    guard !text.isEmpty else {
        return []
    }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 8 else {
        return nil
    }
    var groups: [UInt16] = []
    for (index, part) in parts.enumerated() {
        if index == parts.count - 1, part.contains("."), let number = ipv4Number(part) {
            groups += [UInt16(truncatingIfNeeded: number >> 16), UInt16(truncatingIfNeeded: number)]
        } else if (1...4).contains(part.utf8.count), part.utf8.first != UInt8(ascii: "+"),
            let group = UInt16(part, radix: 16)
        {
            groups.append(group)
        } else {
            return nil
        }
    }
    return groups
}

/// The longest run of two or more zero groups becomes `::`, the first one on a tie (RFC 5952 §4.2).
private func canonicalIPv6(high: UInt64, low: UInt64) -> String {
    let groups = [high, low].flatMap { half in
        (0..<4).map { UInt16(truncatingIfNeeded: half >> (48 - 16 * UInt64($0))) }
    }
    var best = 0..<0
    var start = 0
    while start < 8 {
        let end = groups[start...].firstIndex { $0 != 0 } ?? 8
        if end - start > max(1, best.count) {
            best = start..<end
        }
        start = max(end, start) + 1
    }
    let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
    return best.isEmpty ? text(groups[...]) : text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
}
