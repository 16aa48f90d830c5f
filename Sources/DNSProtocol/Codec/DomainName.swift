/// A domain name as the DNS carries it: labels of octets, compared without regard to ASCII case (RFC 1035 §3.1).
package struct DomainName: Hashable, Sendable, CustomStringConvertible {
    /// Without the root label; each 1 to 63 octets, in the case in which they were written.
    package let labels: [[UInt8]]

    /// The root, `.`.
    package static let root = DomainName(checked: [])

    private init(checked labels: [[UInt8]]) {
        self.labels = labels
    }

    /// Wraps labels; nil when one is empty or over 63 octets, or all together over 255 on the wire.
    package init?(labels: [[UInt8]]) {
        guard labels.allSatisfy({ (1...63).contains($0.count) }), labels.reduce(1, { $0 + $1.count + 1 }) <= 255 else {
            return nil
        }
        self.labels = labels
    }

    /// Reads a name in text form, always as an absolute one; nil for empty or too long labels and for non-ASCII.
    ///
    /// `\.` and `\DDD` are understood (RFC 1035 §5.1).
    package init?(_ text: some StringProtocol) {
        var labels: [[UInt8]] = []
        var label: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        if bytes.isEmpty || bytes.elementsEqual([0x2E]) {
            self = .root
            return
        }
        while let byte = bytes.popFirst() {
            switch byte {
            case UInt8(ascii: "."):
                labels.append(label)
                label = []
            case UInt8(ascii: "\\"):
                guard let escaped = Self.unescape(&bytes) else {
                    return nil
                }
                label.append(escaped)
            case 0x21...0x7E:
                label.append(byte)
            default:
                return nil
            }
        }
        if !label.isEmpty {
            labels.append(label)
        }
        self.init(labels: labels)
    }

    private static func unescape(_ bytes: inout ArraySlice<UInt8>) -> UInt8? {
        guard let first = bytes.popFirst() else {
            return nil
        }
        guard (0x30...0x39).contains(first) else {
            return first
        }
        guard let second = bytes.popFirst(), let third = bytes.popFirst(), (0x30...0x39).contains(second),
            (0x30...0x39).contains(third)
        else {
            return nil
        }
        let value = Int(first - 0x30) * 100 + Int(second - 0x30) * 10 + Int(third - 0x30)
        return UInt8(exactly: value)
    }

    /// Whether this is the root.
    package var isRoot: Bool {
        self.labels.isEmpty
    }

    /// Lower case without the final dot; the root is empty; for keys and comparing.
    package var key: String {
        self.description.lowercased()
    }

    /// Text without the final dot, unusual octets escaped; the root is empty.
    package var description: String {
        self.labels.map { label in
            label.map(Self.escaped).joined()
        }.joined(separator: ".")
    }

    private static func escaped(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: "\\"):
            "\\\(Character(Unicode.Scalar(byte)))"
        case 0x21...0x7E:
            String(Character(Unicode.Scalar(byte)))
        default:
            "\\" + String(repeating: "0", count: byte < 10 ? 2 : byte < 100 ? 1 : 0) + String(byte)
        }
    }

    /// Whether this is the same name in the same case, octet for octet.
    package func isIdentical(to other: DomainName) -> Bool {
        self.labels.elementsEqual(other.labels) { $0.elementsEqual($1) }
    }

    package static func == (left: DomainName, right: DomainName) -> Bool {
        left.labels.count == right.labels.count
            && zip(left.labels, right.labels).allSatisfy { $0.elementsEqual($1) { lowered($0) == lowered($1) } }
    }

    package func hash(into hasher: inout Hasher) {
        for label in self.labels {
            hasher.combine(label.count)
            label.forEach { hasher.combine(lowered($0)) }
        }
    }
}

private func lowered(_ byte: UInt8) -> UInt8 {
    (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
}
