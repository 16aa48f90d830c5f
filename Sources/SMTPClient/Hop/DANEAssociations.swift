package import DNSProtocol

/// The TLSA records by which one host is to be known, and the names that go with them (RFC 7672 §3).
package struct DANEAssociations: Hashable, Sendable {
    /// Usable ones only; never empty.
    package var records: [TLSAssociation]
    /// The base domain of the records: the name that goes out as SNI (RFC 7672 §3.1.1).
    package var serverName: String
    /// Names of which a certificate under a trust anchor must bear one; usage 3 asks for none (RFC 7672 §3.1.1).
    package var names: [String]

    /// Takes what is usable of a host's records; nil when nothing is (RFC 7672 §3.1.3).
    package init?(_ records: [TLSAssociation], serverName: String, names: [String]) {
        let usable = records.prefix(Self.recordLimit).filter(\.isUsableForMail)
        guard !usable.isEmpty else {
            return nil
        }
        self.records = usable
        self.serverName = serverName
        self.names = names
    }

    /// Records of one host that are looked at.
    private static let recordLimit = 64
}

extension TLSAssociation {
    /// Whether mail can use the record: DANE-TA or DANE-EE, a known selector, and data of the length of its kind.
    package var isUsableForMail: Bool {
        guard self.usage == 2 || self.usage == 3, self.selector <= 1 else {
            return false
        }
        switch self.matchingType {
        case 0: return !self.data.isEmpty
        case 1: return self.data.count == 32
        case 2: return self.data.count == 64
        default: return false
        }
    }
}
