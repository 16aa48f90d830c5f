/// Which hosts may take a domain's mail, and whether they must prove who they are (RFC 8461 §3.2).
struct MTASTSPolicy: Hashable, Sendable {
    enum Mode: String, Hashable, Sendable {
        /// Not to be sent to a host that does not match, or without a good certificate.
        case enforce
        /// As `enforce`, but a failure is only told.
        case testing
        /// The domain has given it up.
        case none
    }

    /// The longest `max_age`, a year, in seconds.
    static let ageLimit: Int64 = 31_557_600
    /// Patterns that are kept; a domain with more of them is not believed to mean it.
    private static let patternLimit = 500

    var mode: Mode
    /// Host names in lower case; one may begin with `*.`, which stands for one label.
    var exchangers: [String]
    /// Seconds, at most `ageLimit`.
    var maximumAge: Int64

    /// Reads the body of a response; nil when a domain without MTA-STS is to be assumed.
    init?(_ text: String) {
        var values: [Substring: Substring] = [:]
        var exchangers: [String] = []
        // A CRLF is one character to Swift.
        for line in text.split(whereSeparator: { $0 == "\n" || $0 == "\r\n" }) {
            guard let colon = line.firstIndex(of: ":") else {
                return nil
            }
            let key = trimmed(line[..<colon])
            let value = trimmed(line[line.index(after: colon)...])
            if key == "mx" {
                exchangers.append(value.lowercased())
            } else if values[key] == nil {
                // RFC 8461 §3.2: of a key that may stand once, the first one counts.
                values[key] = value
            }
        }
        guard values["version"] == "STSv1", let mode = values["mode"].flatMap({ Mode(rawValue: String($0)) }),
            let age = values["max_age"], (1...10).contains(age.utf8.count),
            age.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let seconds = Int64(age), exchangers.count <= Self.patternLimit, mode == .none || !exchangers.isEmpty,
            exchangers.allSatisfy(Self.isPattern)
        else {
            return nil
        }
        self.mode = mode
        self.exchangers = exchangers
        self.maximumAge = min(seconds, Self.ageLimit)
    }

    /// Whether the policy names a host that was found as an exchanger (RFC 8461 §4.1).
    func names(_ host: String) -> Bool {
        let host = (host.hasSuffix(".") ? host.dropLast() : host[...]).lowercased()
        return self.exchangers.contains { pattern in
            guard pattern.hasPrefix("*.") else {
                return pattern == host
            }
            guard let dot = host.firstIndex(of: "."), dot != host.startIndex else {
                return false
            }
            return host[dot...] == pattern.dropFirst()
        }
    }

    /// The lines of the policy, as a report quotes them.
    var summary: String {
        (["version: STSv1", "mode: \(self.mode.rawValue)"] + self.exchangers.prefix(20).map { "mx: \($0)" }
            + ["max_age: \(self.maximumAge)"]).joined(separator: "\n")
    }

    private static func isPattern(_ text: String) -> Bool {
        let name = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        let isName = name.utf8.allSatisfy { octet in
            switch octet {
            case 0x30...0x39, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
            default: false
            }
        }
        return isName && (1...253).contains(name.utf8.count) && name.first != "."
    }
}
