/// The type of a resource record (RFC 1035 §3.2.2); any number is possible.
package struct RecordType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package static let a = RecordType(rawValue: 1)
    package static let ns = RecordType(rawValue: 2)
    package static let cname = RecordType(rawValue: 5)
    package static let soa = RecordType(rawValue: 6)
    package static let ptr = RecordType(rawValue: 12)
    package static let mx = RecordType(rawValue: 15)
    package static let txt = RecordType(rawValue: 16)
    package static let aaaa = RecordType(rawValue: 28)
    package static let opt = RecordType(rawValue: 41)
    package static let tlsa = RecordType(rawValue: 52)

    private static let names: [(RecordType, String)] = [
        (.a, "A"), (.ns, "NS"), (.cname, "CNAME"), (.soa, "SOA"), (.ptr, "PTR"), (.mx, "MX"), (.txt, "TXT"),
        (.aaaa, "AAAA"), (.opt, "OPT"), (.tlsa, "TLSA"),
    ]

    /// Reads a mnemonic in any case, such as `MX`; nil for what we have no name for.
    package init?(mnemonic: String) {
        guard let known = Self.names.first(where: { $0.1 == mnemonic.uppercased() }), known.0 != .opt else {
            return nil
        }
        self = known.0
    }

    /// The mnemonic, or `TYPE65280` for one that we have no name for (RFC 3597 §5).
    package var description: String {
        Self.names.first { $0.0 == self }?.1 ?? "TYPE\(self.rawValue)"
    }
}

/// What a server says of a query as a whole (RFC 1035 §4.1.1).
package struct ResponseCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// 0 to 4095 with the upper bits of EDNS (RFC 6891 §6.1.3).
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package static let noError = ResponseCode(rawValue: 0)
    package static let formatError = ResponseCode(rawValue: 1)
    package static let serverFailure = ResponseCode(rawValue: 2)
    package static let noSuchName = ResponseCode(rawValue: 3)
    package static let notImplemented = ResponseCode(rawValue: 4)
    package static let refused = ResponseCode(rawValue: 5)
    package static let badVersion = ResponseCode(rawValue: 16)

    package var description: String {
        switch self {
        case .noError: "NOERROR"
        case .formatError: "FORMERR"
        case .serverFailure: "SERVFAIL"
        case .noSuchName: "NXDOMAIN"
        case .notImplemented: "NOTIMP"
        case .refused: "REFUSED"
        case .badVersion: "BADVERS"
        default: "RCODE\(self.rawValue)"
        }
    }
}
