/// The form of an internationalised domain that the DNS knows (RFC 5891 §4.4, RFC 3492).
///
/// Mail comes in with U-labels as the sender wrote them. They are put in lower case; mapping and checking beyond that
/// (UTS 46) is left to whoever writes the address, so that an unusual one fails to resolve rather than resolving wrongly.
package enum DomainALabels {
    /// The domain with each non-ASCII label as `xn--...`; nil when a label becomes empty or too long.
    package static func ascii(_ domain: String) -> String? {
        guard domain.utf8.count <= 1024 else {
            return nil
        }
        if domain.utf8.allSatisfy({ $0 < 0x80 }) {
            return domain
        }
        // RFC 3490 §3.1: these full stops also part labels.
        let stops: Set<Unicode.Scalar> = [".", "\u{3002}", "\u{FF0E}", "\u{FF61}"]
        let labels = domain.lowercased().unicodeScalars.split(omittingEmptySubsequences: false) { stops.contains($0) }
        var result: [String] = []
        for label in labels {
            guard !label.isEmpty, let encoded = Self.encode(Array(label)), encoded.utf8.count <= 63 else {
                return nil
            }
            result.append(encoded)
        }
        return result.joined(separator: ".")
    }

    private static func encode(_ label: [Unicode.Scalar]) -> String? {
        guard label.contains(where: { !$0.isASCII }) else {
            return String(String.UnicodeScalarView(label))
        }
        guard label.count <= 63 else {
            return nil
        }
        var output = label.filter(\.isASCII).map { UInt8(truncatingIfNeeded: $0.value) }
        let basic = output.count
        var handled = basic
        if basic > 0 {
            output.append(UInt8(ascii: "-"))
        }
        var current: UInt32 = 128
        // 63 scalars of at most 0x10FFFF keep delta far below the limit of 32 bits.
        var delta: UInt32 = 0
        var bias: UInt32 = 72
        while handled < label.count {
            let next = label.lazy.map(\.value).filter { $0 >= current }.min() ?? current
            delta += (next - current) * UInt32(handled + 1)
            current = next
            for scalar in label {
                if scalar.value < current {
                    delta += 1
                } else if scalar.value == current {
                    output += Self.digits(of: delta, bias: bias)
                    bias = Self.adapt(delta, points: UInt32(handled + 1), isFirst: handled == basic)
                    delta = 0
                    handled += 1
                }
            }
            delta += 1
            current += 1
        }
        return "xn--" + String(decoding: output, as: UTF8.self)
    }

    private static func digits(of delta: UInt32, bias: UInt32) -> [UInt8] {
        var digits: [UInt8] = []
        var rest = delta
        var k: UInt32 = 36
        while true {
            let threshold = k <= bias ? 1 : min(k - bias, 26)
            guard rest >= threshold else {
                break
            }
            digits.append(Self.digit(threshold + (rest - threshold) % (36 - threshold)))
            rest = (rest - threshold) / (36 - threshold)
            k += 36
        }
        return digits + [Self.digit(rest)]
    }

    private static func digit(_ value: UInt32) -> UInt8 {
        UInt8(truncatingIfNeeded: value < 26 ? value + 0x61 : value - 26 + 0x30)
    }

    /// RFC 3492 §6.1.
    private static func adapt(_ delta: UInt32, points: UInt32, isFirst: Bool) -> UInt32 {
        var delta = isFirst ? delta / 700 : delta / 2
        delta += delta / points
        var k: UInt32 = 0
        while delta > 455 {
            delta /= 35
            k += 36
        }
        return k + 36 * delta / (delta + 38)
    }
}
