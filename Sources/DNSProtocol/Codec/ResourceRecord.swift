package import MailModel

/// One record of a response.
package struct ResourceRecord: Hashable, Sendable {
    package var name: DomainName
    package var type: RecordType
    /// Seconds; values over 2^31 - 1 are read as zero (RFC 2181 §8).
    package var timeToLive: UInt32
    package var data: RecordData

    package init(name: DomainName, type: RecordType, timeToLive: UInt32, data: RecordData) {
        self.name = name
        self.type = type
        self.timeToLive = timeToLive
        self.data = data
    }
}

/// The contents of a record, as far as mail needs them.
package enum RecordData: Hashable, Sendable, CustomStringConvertible {
    case address(IPAddress)
    case mailExchanger(preference: UInt16, DomainName)
    /// CNAME, NS and PTR.
    case name(DomainName)
    case text([[UInt8]])
    case tlsAssociation(TLSAssociation)
    /// The last field of the SOA: how long a negative answer may be kept, in seconds (RFC 2308 §4).
    case startOfAuthority(minimum: UInt32)
    /// Any other type, and known types in a class that is not IN.
    case raw([UInt8])

    package var description: String {
        switch self {
        case .address(let address): "\(address)"
        case .mailExchanger(let preference, let host): "\(preference) \(host.isRoot ? "." : host.description)"
        case .name(let name): name.isRoot ? "." : name.description
        case .text(let strings):
            strings.map { "\"\(String(decoding: $0, as: UTF8.self))\"" }.joined(separator: " ")
        case .tlsAssociation(let association): association.description
        case .startOfAuthority(let minimum): "SOA minimum \(minimum)"
        case .raw(let bytes): "\\# \(bytes.count)"
        }
    }
}
