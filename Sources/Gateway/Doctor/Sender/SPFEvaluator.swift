import DNSProtocol
import MailModel

/// What a sender policy says of an address (RFC 7208 §2.6).
enum SPFResult: Hashable, Sendable {
    case pass, fail, softfail, neutral
    /// There is no policy.
    case none
    /// The DNS could not be asked.
    case temporaryError(String)
    /// The policy is wrong, in words.
    case permanentError(String)

    var isTemporary: Bool {
        if case .temporaryError = self { true } else { false }
    }

    var word: String {
        switch self {
        case .pass: "pass"
        case .fail: "fail"
        case .softfail: "softfail"
        case .neutral: "neutral"
        case .none: "none"
        case .temporaryError(let why): "temperror (\(why))"
        case .permanentError(let why): "permerror (\(why))"
        }
    }
}

/// Evaluates sender policies as receivers do, within their limits: ten lookups, two of them in vain (RFC 7208 §4.6.4).
struct SPFEvaluator {
    private static let lookupLimit = 10
    private static let voidLimit = 2
    /// Hosts of one `mx` or `ptr`.
    private static let hostLimit = 10

    private struct Stop: Error {
        let result: SPFResult
    }

    private let lookups: any SenderLookups
    private let macro: SPFMacro
    private var address: IPAddress { self.macro.address }
    /// Terms so far that need a lookup.
    private(set) var lookupCount = 0
    private var voidCount = 0
    /// Domains whose policies were read, the first one's first.
    private(set) var policies: [String] = []

    init(address: IPAddress, sender domain: String, heloName: String, lookups: any SenderLookups) {
        self.lookups = lookups
        self.macro = SPFMacro(
            address: address.unmapped,
            localPart: "postmaster",
            senderDomain: domain,
            heloName: heloName
        )
    }

    /// Whether a domain lets the address send in its name.
    mutating func evaluate(_ domain: String) async -> SPFResult {
        do throws(Stop) {
            return try await self.check(domain)
        } catch {
            return error.result
        }
    }

    private mutating func check(_ domain: String) async throws(Stop) -> SPFResult {
        guard let record = try await self.record(domain) else {
            return .none
        }
        for term in record.terms where try await self.matches(term.mechanism, domain) {
            switch term.qualifier {
            case .pass: return .pass
            case .fail: return .fail
            case .softfail: return .softfail
            case .neutral: return .neutral
            }
        }
        guard let redirect = record.redirect, !record.terms.contains(where: { $0.mechanism == .all }) else {
            return .neutral
        }
        try self.count()
        let target = try self.expand(redirect, domain)
        let result = try await self.check(target)
        guard result != .none else {
            throw Stop(result: .permanentError("redirect to \(target), which has no policy"))
        }
        return result
    }

    /// The policy of a domain; nil when there is none.
    private mutating func record(_ domain: String) async throws(Stop) -> SPFRecord? {
        self.policies.append(domain.lowercased())
        let texts: [String]
        switch await self.lookups.text(of: domain) {
        case .records(let records, _): texts = records.filter(SPFRecord.isPolicy)
        case .noData, .noSuchName: texts = []
        case .unavailable(let why): throw Stop(result: .temporaryError("\(why)"))
        }
        guard texts.count < 2 else {
            throw Stop(result: .permanentError("\(domain) has \(texts.count) policies"))
        }
        do throws(SPFRecord.SyntaxError) {
            return try texts.first.map { (text) throws(SPFRecord.SyntaxError) in try SPFRecord(text) }
        } catch {
            throw Stop(result: .permanentError("\(domain): \(error.text)"))
        }
    }

    private mutating func matches(_ mechanism: SPFRecord.Mechanism, _ domain: String) async throws(Stop) -> Bool {
        switch mechanism {
        case .all:
            return true
        case .network(let block):
            return block.base.isIPv6 == self.address.isIPv6 && block.contains(self.address)
        case .include(let text):
            return try await self.includes(text, domain)
        case .a(let hosts):
            try self.count()
            let addresses = try await self.addresses(try self.expand(hosts.domain ?? domain, domain))
            return self.isAmong(addresses, hosts)
        case .mx(let hosts):
            try self.count()
            return try await self.isAmongExchangers(of: try self.expand(hosts.domain ?? domain, domain), hosts)
        case .ptr(let text):
            try self.count()
            return try await self.hasName(below: try self.expand(text ?? domain, domain))
        case .exists(let text):
            try self.count()
            return try await self.addresses(try self.expand(text, domain)).contains { !$0.isIPv6 }
        }
    }

    private mutating func includes(_ text: String, _ domain: String) async throws(Stop) -> Bool {
        try self.count()
        let target = try self.expand(text, domain)
        switch try await self.check(target) {
        case .pass: return true
        case .fail, .softfail, .neutral: return false
        case .none: throw Stop(result: .permanentError("includes \(target), which has no policy"))
        case .temporaryError, .permanentError: return false
        }
    }

    private mutating func isAmongExchangers(of name: String, _ hosts: SPFRecord.Hosts) async throws(Stop) -> Bool {
        let exchangers = try self.records(await self.lookups.mailExchangers(of: name))
        guard exchangers.count <= Self.hostLimit else {
            throw Stop(result: .permanentError("\(name) has more than \(Self.hostLimit) exchangers"))
        }
        for exchanger in exchangers where !exchanger.host.isEmpty {
            let addresses = try await self.addresses(exchanger.host)
            if self.isAmong(addresses, hosts) {
                return true
            }
        }
        return false
    }

    /// Whether the address has a name below a domain that leads back to it (RFC 7208 §5.5).
    private mutating func hasName(below domain: String) async throws(Stop) -> Bool {
        let target = domain.lowercased()
        guard case .records(let names, _) = await self.lookups.pointers(of: self.address) else {
            return false
        }
        for name in names.prefix(Self.hostLimit) where name == target || name.hasSuffix(".\(target)") {
            if case .records(let addresses, _) = await self.lookups.addresses(of: name),
                addresses.contains(self.address)
            {
                return true
            }
        }
        return false
    }

    private func isAmong(_ addresses: [IPAddress], _ hosts: SPFRecord.Hosts) -> Bool {
        addresses.contains { other in
            other.isIPv6 == self.address.isIPv6
                && CIDRBlock(other, prefixLength: other.isIPv6 ? hosts.length6 : hosts.length4).contains(self.address)
        }
    }

    private mutating func addresses(_ name: String) async throws(Stop) -> [IPAddress] {
        try self.records(await self.lookups.addresses(of: name))
    }

    /// What was found; nothing found counts as a lookup in vain.
    private mutating func records<Record>(_ lookup: Lookup<Record>) throws(Stop) -> [Record] {
        switch lookup {
        case .records(let records, _):
            return records
        case .noData, .noSuchName:
            self.voidCount += 1
            guard self.voidCount <= Self.voidLimit else {
                throw Stop(result: .permanentError("more than \(Self.voidLimit) lookups find nothing"))
            }
            return []
        case .unavailable(let why):
            throw Stop(result: .temporaryError("\(why)"))
        }
    }

    private mutating func count() throws(Stop) {
        self.lookupCount += 1
        guard self.lookupCount <= Self.lookupLimit else {
            throw Stop(result: .permanentError("needs more than \(Self.lookupLimit) lookups"))
        }
    }

    private func expand(_ text: String, _ domain: String) throws(Stop) -> String {
        guard let expanded = self.macro.expand(text, domain: domain), DomainName(expanded) != nil else {
            throw Stop(result: .permanentError("\"\(text.prefix(60))\" is no domain"))
        }
        return expanded
    }
}
