import DNSProtocol
import SMTPClient

/// What the DNS says of how one host is to be known (RFC 7672 §2.2).
enum DANEFinding: Hashable, Sendable {
    /// No validated TLSA records: DANE does not apply.
    case absent
    case associations(DANEAssociations)
    /// Validated records, none of which can be used: TLS is a must, but proves nothing (RFC 7672 §2.2).
    case unusable
    /// Nobody can say whether there are records: the host must not be used (RFC 7672 §2.1.2).
    case failed(String)

    /// Asks for the TLSA records of a host whose exchanger record and addresses were validated.
    ///
    /// Where these are last good answers of better days, since nobody answers now, nothing is validated. Records that were
    /// kept then bind all the same: who can silence our resolvers must not be able to talk us out of DANE.
    ///
    /// - Parameters:
    ///   - host: The host as the MX record names it.
    ///   - canonicalName: Where its aliases end; asked first (RFC 7672 §2.2.3).
    ///   - isStale: Whether the exchanger record or the addresses are last good answers.
    ///   - port: Where mail is delivered.
    ///   - otherNames: Names beside the host's own that a certificate under a trust anchor may bear.
    ///   - resolver: Whom to ask.
    ///   - note: Told each answer, for the record of the attempt.
    /// - Returns: The records at the first of the host's names that has any.
    static func find(
        _ host: String,
        canonicalName: String?,
        isStale: Bool = false,
        port: Int,
        otherNames: [String],
        resolver: any Resolver,
        note: (Resolution<TLSAssociation>, ContinuousClock.Instant) -> Void
    ) async -> DANEFinding {
        let host = (host.hasSuffix(".") ? String(host.dropLast()) : host).lowercased()
        let bases = [canonicalName, host].compactMap(\.self)
        for (index, base) in bases.enumerated() where bases.firstIndex(of: base) == index {
            let began = ContinuousClock.now
            let resolution = await resolver.tlsAssociations(of: "_\(port)._tcp.\(base)")
            note(resolution, began)
            switch resolution.lookup {
            case .unavailable(let why):
                guard isStale else {
                    return .failed(why.description)
                }
                continue
            case .noData, .noSuchName, .records([], timeToLive: _):
                continue
            case .records(let records, timeToLive: _):
                guard resolution.isSecure || (isStale && resolution.staleAge != nil) else {
                    continue
                }
                let names = [base] + (bases + otherNames).filter { $0 != base }
                let associations = DANEAssociations(records, serverName: base, names: names)
                return associations.map { .associations($0) } ?? .unusable
            }
        }
        return .absent
    }
}
