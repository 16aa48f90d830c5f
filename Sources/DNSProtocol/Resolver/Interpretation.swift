/// What one source's response means for the question, once it is known to answer it.
package enum Interpretation: Sendable, Hashable {
    case records([RecordData], timeToLive: UInt32)
    case noData(timeToLive: UInt32)
    case noSuchName(timeToLive: UInt32)
    /// The name is another name for this one, of which the source says nothing: ask it for that.
    case alias(DomainName, timeToLive: UInt32)
    /// The source could not answer.
    case failed(SourceFailure)
    /// The server does not understand EDNS: ask again without.
    case rejectsEDNS
    case truncated
    /// The question came back in another case: a forger's guess, or a server that folds names; ask over TCP, where none forges.
    case otherCase

    /// The most CNAME records that are followed.
    private static let aliasLimit = 12
    /// Negative answers are kept no longer than this many seconds, whatever their SOA says (RFC 2308 §5).
    private static let negativeLimit: UInt32 = 300
    /// How long an answer without a usable SOA is kept, in seconds.
    private static let negativeDefault: UInt32 = 30

    /// Reads a response to a question; nil when the message is no answer to it at all and must be ignored as forged.
    ///
    /// - Parameters:
    ///   - message: What came.
    ///   - question: What was asked, in the case that was sent; a response repeats it (RFC 5452 §4.2).
    ///   - id: The identifier that was sent.
    ///   - sentEDNS: Whether the query carried an OPT record.
    package init?(_ message: DNSMessage, to question: Question, id: UInt16, sentEDNS: Bool) {
        guard message.isResponse, message.id == id, message.opcode == 0 else {
            return nil
        }
        // Servers that reject a query as malformed may leave the question out.
        if message.questions.isEmpty, message.code == .formatError || message.code == .notImplemented {
            self = sentEDNS ? .rejectsEDNS : .failed(.code(message.code))
            return
        }
        guard message.questions.count == 1, message.questions[0].type == question.type,
            message.questions[0].name == question.name
        else {
            return nil
        }
        guard message.questions[0].name.isIdentical(to: question.name) else {
            self = .otherCase
            return
        }
        self.init(matched: message, to: question, sentEDNS: sentEDNS)
    }

    private init(matched message: DNSMessage, to question: Question, sentEDNS: Bool) {
        switch message.code {
        case .noError, .noSuchName:
            break
        case .formatError, .notImplemented, .badVersion:
            self = sentEDNS && !message.hasEDNS ? .rejectsEDNS : .failed(.code(message.code, message.reason))
            return
        default:
            self = .failed(.code(message.code, message.reason))
            return
        }
        if message.isTruncated {
            self = .truncated
            return
        }
        let aliases = question.type == .cname ? [] : message.answers
        guard let (owner, aliasTTL) = Self.follow(from: question.name, in: aliases) else {
            self = .failed(.aliasLoop)
            return
        }
        let matching = message.answers.filter { $0.type == question.type && $0.name == owner }
        if !matching.isEmpty {
            let timeToLive = matching.reduce(aliasTTL) { min($0, $1.timeToLive) }
            self = .records(matching.map(\.data), timeToLive: timeToLive)
        } else if let policy = message.extendedErrors.first(where: \.isPolicy) {
            // A filter speaks, and says so: no word about the name.
            self = .failed(.code(message.code, policy))
        } else if message.code == .noSuchName {
            self = .noSuchName(timeToLive: Self.negativeTTL(message))
        } else if owner != question.name, !message.authorities.contains(where: { $0.type == .soa }) {
            self = .alias(owner, timeToLive: aliasTTL)
        } else if Self.isReferral(message) {
            self = .failed(.lame)
        } else {
            self = .noData(timeToLive: Self.negativeTTL(message))
        }
    }

    /// Where the aliases of a message end that begin at a name; nil where there are none, or where they go in circles.
    package static func canonicalName(of name: DomainName, in message: DNSMessage) -> DomainName? {
        self.follow(from: name, in: message.answers).flatMap { $0.0 == name ? nil : $0.0 }
    }

    /// The name at the end of the CNAME chain that begins at the question; nil for a loop.
    private static func follow(from name: DomainName, in answers: [ResourceRecord]) -> (DomainName, UInt32)? {
        var name = name
        var timeToLive = UInt32(Int32.max)
        for _ in 0..<self.aliasLimit {
            let alias = answers.first { $0.type == .cname && $0.name == name }
            guard let alias, case .name(let target) = alias.data else {
                return (name, timeToLive)
            }
            timeToLive = min(timeToLive, alias.timeToLive)
            name = target
        }
        return nil
    }

    /// A server that points elsewhere instead of answering, and neither recurses nor has authority, says nothing.
    private static func isReferral(_ message: DNSMessage) -> Bool {
        guard !message.isAuthoritative, !message.authorities.contains(where: { $0.type == .soa }) else {
            return false
        }
        return message.authorities.contains { $0.type == .ns } || !message.recursionAvailable
    }

    private static func negativeTTL(_ message: DNSMessage) -> UInt32 {
        for record in message.authorities {
            if case .startOfAuthority(let minimum) = record.data {
                return min(record.timeToLive, minimum, self.negativeLimit)
            }
        }
        return self.negativeDefault
    }
}

extension DNSMessage {
    /// Of several reasons, the one that tells most: that validation failed.
    fileprivate var reason: ExtendedError? {
        self.extendedErrors.first(where: \.isBogus) ?? self.extendedErrors.first { $0.rawValue != 0 }
    }
}

extension Interpretation {
    /// The word for observations: `3 records`, `NXDOMAIN`, `no data`, `SERVFAIL`.
    package var summary: String {
        switch self {
        case .records(let records, _): records.count == 1 ? "1 record" : "\(records.count) records"
        case .noData: "no data"
        case .noSuchName: "NXDOMAIN"
        case .alias(let target, _): "alias of \(target.key)"
        case .failed(let failure): failure.description
        case .rejectsEDNS: "FORMERR"
        case .truncated: "truncated"
        case .otherCase: "case not repeated"
        }
    }

    /// Whether it answers the question, in the affirmative or not.
    package var isUsable: Bool {
        self.hasRecords || self.isNegative
    }

    package var hasRecords: Bool {
        switch self {
        case .records: true
        case .noData, .noSuchName, .alias, .failed, .rejectsEDNS, .truncated, .otherCase: false
        }
    }

    package var isNegative: Bool {
        switch self {
        case .noData, .noSuchName: true
        case .records, .alias, .failed, .rejectsEDNS, .truncated, .otherCase: false
        }
    }

    package var isNoData: Bool {
        switch self {
        case .noData: true
        case .records, .noSuchName, .alias, .failed, .rejectsEDNS, .truncated, .otherCase: false
        }
    }

    /// Why there is no answer; nil where there is one, and for what is only a step on the way to it.
    package var failure: SourceFailure? {
        switch self {
        case .failed(let failure): failure
        case .records, .noData, .noSuchName, .alias, .rejectsEDNS, .truncated, .otherCase: nil
        }
    }

    /// The same answer, kept no longer than the alias that led to it.
    package func limited(to timeToLive: UInt32) -> Interpretation {
        switch self {
        case .records(let records, let own): .records(records, timeToLive: min(own, timeToLive))
        case .noData(let own): .noData(timeToLive: min(own, timeToLive))
        case .noSuchName(let own): .noSuchName(timeToLive: min(own, timeToLive))
        case .alias(let target, let own): .alias(target, timeToLive: min(own, timeToLive))
        case .failed, .rejectsEDNS, .truncated, .otherCase: self
        }
    }
}
