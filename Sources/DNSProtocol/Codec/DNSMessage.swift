/// What is asked: a name and a record type, always in class IN.
package struct Question: Hashable, Sendable, CustomStringConvertible {
    package var name: DomainName
    package var type: RecordType

    package init(_ type: RecordType, _ name: DomainName) {
        self.type = type
        self.name = name
    }

    /// Type and name in lower case: `MX gmail.com`; also the key of caches and of the archive.
    package var description: String {
        "\(self.type) \(self.name.key)"
    }
}

/// A response as it was decoded (RFC 1035 §4.1).
package struct DNSMessage: Hashable, Sendable {
    package var id: UInt16
    package var isResponse: Bool
    package var opcode: UInt8
    package var isAuthoritative: Bool
    package var isTruncated: Bool
    package var recursionAvailable: Bool
    /// The server says that it validated the answer (RFC 4035 §3.2.3); worth something only from a trusted source.
    package var isAuthenticated: Bool
    package var code: ResponseCode
    package var questions: [Question]
    package var answers: [ResourceRecord]
    package var authorities: [ResourceRecord]
    /// The server answered with an OPT record (RFC 6891).
    package var hasEDNS: Bool
    /// What the server says beyond the response code; at most a few are kept.
    package var extendedErrors: [ExtendedError] = []

    /// The flags as dig shows them: `aa tc ra ad`.
    package var flags: String {
        [
            (self.isAuthoritative, "aa"), (self.isTruncated, "tc"), (self.recursionAvailable, "ra"),
            (self.isAuthenticated, "ad"),
        ].filter(\.0).map(\.1).joined(separator: " ")
    }

    /// The question as this message repeats it, if it is the same but for its case; else the one given.
    package func question(equalTo question: Question) -> Question {
        self.questions.first { $0 == question } ?? question
    }
}

/// Octets that are not a DNS message.
package enum DNSFormatError: Error, Hashable, Sendable {
    case tooShort
    case badName
    case badRecord(RecordType)
    case tooManyRecords
}
