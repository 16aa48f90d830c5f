/// Why a source gave no usable answer; none of these says anything about the name.
package enum SourceFailure: Hashable, Sendable, CustomStringConvertible {
    /// The server's own word, such as SERVFAIL or REFUSED, or a negative answer that it calls withheld itself.
    case code(ResponseCode, ExtendedError? = nil)
    /// Nothing came within the time that one source has.
    case silence
    /// It points elsewhere instead of answering.
    case lame
    /// Aliases that go in circles, or on and on.
    case aliasLoop
    /// Octets that are no answer to the question.
    case garbage
    /// The way there failed; the text is for people.
    case transport(String)

    /// The server says that it cannot validate what it found: the data are wrong, not the server (RFC 8914 §4.7 to §4.13).
    package var isBogus: Bool {
        guard case .code(.serverFailure, let error?) = self else {
            return false
        }
        return error.isBogus
    }

    /// SERVFAIL without a reason, which may mean that validation failed.
    package var isUnexplained: Bool {
        switch self {
        case .code(.serverFailure, let error): error?.isBogus != true
        case .code, .silence, .lame, .aliasLoop, .garbage, .transport: false
        }
    }

    /// Whether it may be the name's fault rather than the server's, so that only a better answer of another source tells.
    package var mayBeOfTheName: Bool {
        switch self {
        case .code(.refused, _), .code(.notImplemented, _), .code(.formatError, _): false
        // A recursive server may need longer to give up on dead authorities than it is waited for.
        case .code, .lame, .aliasLoop, .silence: true
        case .garbage, .transport: false
        }
    }

    /// The word for observations: `SERVFAIL`, `SERVFAIL (signature expired)`, `no answer`, `port closed`.
    package var description: String {
        switch self {
        case .code(let code, let error): error.map { "\(code) (\($0))" } ?? "\(code)"
        case .silence: "no answer"
        case .lame: "lame"
        case .aliasLoop: "CNAME loop"
        case .garbage: "garbage"
        case .transport(let text): text
        }
    }
}

/// What a server adds to a response code (RFC 8914 §4).
package struct ExtendedError: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    private static let names: [UInt16: String] = [
        1: "unsupported DNSKEY algorithm", 2: "unsupported DS digest", 3: "stale answer", 4: "forged answer",
        5: "DNSSEC indeterminate", 6: "DNSSEC bogus", 7: "DNSSEC: signature expired",
        8: "DNSSEC: signature not yet valid", 9: "DNSSEC: no DNSKEY", 10: "DNSSEC: no signatures",
        11: "DNSSEC: no zone key bit", 12: "DNSSEC: no NSEC", 13: "cached error", 14: "not ready", 15: "blocked",
        16: "censored", 17: "filtered", 18: "prohibited", 20: "not authoritative", 21: "not supported",
        22: "no reachable authority", 23: "network error", 24: "invalid data",
    ]

    /// Validation was tried and failed.
    package var isBogus: Bool {
        (6...12).contains(self.rawValue)
    }

    /// The answer is policy and not what the DNS says: forged, blocked, censored, filtered, prohibited.
    package var isPolicy: Bool {
        self.rawValue == 4 || (15...18).contains(self.rawValue)
    }

    package var description: String {
        Self.names[self.rawValue] ?? "EDE \(self.rawValue)"
    }
}
