import DNSProtocol
import MailModel

/// What a domain asks receivers to do with mail in its name that proves nothing (RFC 7489, found by the tree walk of its
/// successor: no list of public suffixes is needed).
struct DMARCPolicy: Hashable, Sendable {
    enum Disposition: String, Hashable, Sendable {
        case none, quarantine, reject
    }

    /// The tags of one record that matter here.
    struct Record: Hashable, Sendable {
        var policy: Disposition
        /// For domains below.
        var subdomainPolicy: Disposition?
        var isStrictSPF = false
        var isStrictDKIM = false
        /// `psd=y` or `psd=n`: the walk ends here.
        var publicSuffix: Bool?
        var hasReports = false
    }

    enum Discovery: Hashable, Sendable {
        case found(DMARCPolicy)
        case none
        /// There is one and it cannot be read, in words.
        case broken(String)
        case unavailable(String)
    }

    private static let queryLimit = 8

    var record: Record
    /// The domain with the record: the sender's or one above.
    var domain: String
    /// What applies to the sender's domain.
    var disposition: Disposition

    /// Finds the policy of a domain, or of one above it.
    static func discover(_ domain: String, _ lookups: any SenderLookups) async -> Discovery {
        var best: (domain: String, record: Record)?
        for name in self.walk(domain.lowercased()) {
            let record: Record?
            switch await self.record(at: name, lookups) {
            case .success(let found): record = found
            case .failure(.broken(let text)) where name == domain.lowercased(): return .broken(text)
            case .failure(.broken): record = nil
            case .failure(.unavailable(let why)): return .unavailable(why)
            }
            guard let record else {
                continue
            }
            if name == domain.lowercased() {
                return .found(DMARCPolicy(record: record, domain: name, disposition: record.policy))
            }
            best = (name, record)
            if record.publicSuffix != nil {
                break
            }
        }
        guard let best else {
            return .none
        }
        let disposition = best.record.subdomainPolicy ?? best.record.policy
        return .found(DMARCPolicy(record: best.record, domain: best.domain, disposition: disposition))
    }

    /// The domains to be asked, from the sender's upwards; of a long name the middle is left out.
    static func walk(_ domain: String) -> [String] {
        let labels = domain.split(separator: ".")
        var names = [domain]
        var rest = labels.count > self.queryLimit ? labels.suffix(self.queryLimit - 1) : labels.dropFirst()
        while !rest.isEmpty {
            names.append(rest.joined(separator: "."))
            rest = rest.dropFirst()
        }
        return Array(names.prefix(self.queryLimit))
    }

    private enum Trouble: Error {
        case broken(String)
        case unavailable(String)
    }

    private static func record(at domain: String, _ lookups: any SenderLookups) async -> Result<Record?, Trouble> {
        switch await lookups.text(of: "_dmarc.\(domain)") {
        case .records(let texts, _):
            let records = texts.filter { $0.hasPrefix("v=DMARC1") }
            guard records.count < 2 else {
                return .failure(.broken("_dmarc.\(domain) has \(records.count) records"))
            }
            guard let text = records.first else {
                return .success(nil)
            }
            return Record(text).map { .success($0) } ?? .failure(.broken("_dmarc.\(domain) cannot be read"))
        case .noData, .noSuchName: return .success(nil)
        case .unavailable(let why): return .failure(.unavailable("\(why)"))
        }
    }
}

extension DMARCPolicy.Record {
    /// Reads a record; nil when it has neither a policy nor anywhere to report to (RFC 7489 §6.6.3).
    init?(_ text: String) {
        var tags: [String: String] = [:]
        for part in text.split(separator: ";") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else {
                continue
            }
            tags[pair[0].trimmed.lowercased()] = pair[1].trimmed
        }
        let policy = tags["p"].flatMap { DMARCPolicy.Disposition(rawValue: $0.lowercased()) }
        guard tags["v"] == "DMARC1", policy != nil || tags["rua"] != nil else {
            return nil
        }
        self.init(policy: policy ?? .none)
        self.subdomainPolicy = tags["sp"].flatMap { DMARCPolicy.Disposition(rawValue: $0.lowercased()) }
        self.isStrictSPF = tags["aspf"]?.lowercased() == "s"
        self.isStrictDKIM = tags["adkim"]?.lowercased() == "s"
        self.publicSuffix = ["y": true, "n": false][tags["psd"]?.lowercased() ?? "u"]
        self.hasReports = tags["rua"] != nil
    }
}

extension Substring {
    /// Without blanks at both ends.
    var trimmed: String {
        let start = self.drop(while: \.isWhitespace)
        return String(start.reversed().drop(while: \.isWhitespace).reversed())
    }
}
