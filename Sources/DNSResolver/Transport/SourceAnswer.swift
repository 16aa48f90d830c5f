import DNSProtocol

/// What a source said, and how it was brought to say it.
struct SourceAnswer: Sendable {
    enum Transport: String, Sendable {
        case udp, tcp, tls, https
    }

    /// A message as received, and what it answers; with aliases there are several.
    struct Part: Sendable {
        var question: Question
        var bytes: [UInt8]
    }

    var interpretation: Interpretation
    /// The messages that led here, in order; none when none came.
    var parts: [Part] = []
    /// The last of them.
    var message: DNSMessage?
    /// The source says that it validated all of it; worth something only where it is trusted.
    var isAuthenticated = false
    /// Where the aliases of the answer end; nil where there were none.
    var canonicalName: DomainName?
    var transport = Transport.udp
    var elapsed = Duration.zero
    /// The source answered only without EDNS.
    var withoutEDNS = false

    /// Why this is no answer; nil when it is one.
    var failure: SourceFailure? {
        switch self.interpretation {
        case .records, .noData, .noSuchName: nil
        case .failed(let failure): failure
        case .rejectsEDNS: .code(.formatError)
        case .alias, .truncated, .otherCase: .garbage
        }
    }

    static func failure(_ failure: SourceFailure, _ transport: Transport = .udp) -> Self {
        Self(interpretation: .failed(failure), transport: transport)
    }

    /// Decodes an answer; nil when it does not answer this question.
    ///
    /// Octets that cannot be decoded but begin with our identifier are the source's own garbage; others may be forged.
    static func reading(
        _ bytes: [UInt8],
        to question: Question,
        id: UInt16,
        sentEDNS: Bool,
        over transport: Transport
    ) -> Self? {
        do {
            let message = try MessageDecoder.decode(bytes)
            // Only UDP can be forged from afar, so that only there the case matters.
            let asked = transport == .udp ? question : message.question(equalTo: question)
            guard let interpretation = Interpretation(message, to: asked, id: id, sentEDNS: sentEDNS) else {
                return nil
            }
            return Self(
                interpretation: interpretation,
                parts: [Part(question: question, bytes: bytes)],
                message: message,
                isAuthenticated: message.isAuthenticated,
                canonicalName: Interpretation.canonicalName(of: question.name, in: message),
                transport: transport
            )
        } catch {
            let isOurs = bytes.count >= 2 && UInt16(bytes[0]) << 8 | UInt16(bytes[1]) == id
            return isOurs || transport != .udp ? .failure(.garbage, transport) : nil
        }
    }

    /// The answer, unless it is truncated, which over a stream is nonsense.
    var whole: Self? {
        self.interpretation == .truncated ? nil : self
    }

    /// This answer, which only named an alias, and the one for its target as one.
    func followed(by next: Self, at target: DomainName, for timeToLive: UInt32) -> Self {
        var joined = next
        joined.interpretation = next.interpretation.limited(to: timeToLive)
        joined.parts = self.parts + next.parts
        joined.isAuthenticated = self.isAuthenticated && next.isAuthenticated
        joined.canonicalName = next.canonicalName ?? target
        joined.withoutEDNS = self.withoutEDNS || next.withoutEDNS
        return joined
    }
}
