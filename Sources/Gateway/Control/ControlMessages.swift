package import DNSResolver

/// What an operator asks of a running gateway.
package struct ControlRequest: Codable, Sendable {
    package enum Verb: String, Codable, Sendable {
        case flush, hold, release, delete, dnsLookup, dnsFlush, dnsSources, status, closeBreaker
        case takeOver, doctor
        /// Whether the gateway answers; its reply is short, whatever is going on.
        case health
    }

    package var verb: Verb
    /// A queue id, a domain, a provider's name, or `ALL`; what it is depends on the verb.
    package var subject: String?
    /// With `dnsLookup`: record types by their mnemonics.
    package var types: [String]?
    /// With `takeOver`: octets of a `TakeOverEnvelope`, as JSON, that follow the line.
    package var envelopeLength: Int?
    /// With `takeOver`: octets of the content that follow the envelope.
    package var contentLength: Int?
    /// With `doctor`: what is to be looked at.
    package var doctor: DoctorOptions?

    package init(_ verb: Verb, subject: String? = nil) {
        self.verb = verb
        self.subject = subject
    }

    /// Octets that follow the line; nil when that is more than any message has.
    var attachedLength: Int? {
        let parts = [self.envelopeLength ?? 0, self.contentLength ?? 0]
        return parts.allSatisfy((0...TakeOverEnvelope.contentLimit).contains) ? parts[0] + parts[1] : nil
    }
}

/// What the gateway says; exactly one of the members is set, but for what stands beside a count.
package struct ControlReply: Codable, Sendable {
    package var error: String?
    /// How many recipients, answers or breakers were touched.
    package var count: Int?
    /// With `hold` and `delete`: recipients that were being delivered at that moment, and could not be stopped.
    package var running: Int?
    /// With `flush`: what is not tried before its time all the same.
    package var leftAlone: [GatewayStatus.Breaker]?
    package var lookups: [SourceReport]?
    package var status: GatewayStatus?
    package var takenOver: TakeOverReceipt?
    package var doctor: DoctorReport?

    package init(
        error: String? = nil,
        count: Int? = nil,
        running: Int? = nil,
        leftAlone: [GatewayStatus.Breaker]? = nil,
        lookups: [SourceReport]? = nil,
        status: GatewayStatus? = nil,
        takenOver: TakeOverReceipt? = nil,
        doctor: DoctorReport? = nil
    ) {
        self.error = error
        self.count = count
        self.running = running
        self.leftAlone = leftAlone
        self.lookups = lookups
        self.status = status
        self.takenOver = takenOver
        self.doctor = doctor
    }
}

/// How the running gateway is.
package struct GatewayStatus: Codable, Sendable {
    package struct Breaker: Codable, Sendable {
        /// The way that is left alone: a provider, or one with a destination or a sender domain.
        package var name: String
        package var provider: String
        package var until: String
        package var why: String
    }

    package struct Source: Codable, Sendable {
        package var name: String
        package var isHealthy: Bool
        /// Why it failed last, and for how many seconds it has been failing.
        package var failure: String?
        package var failingSeconds: Int64?
        /// How often others had what it denied.
        package var contradictions: Int?
        /// Whether its word that it validated an answer counts, and whether it has ever said so.
        package var isTrusted: Bool?
        package var validates: Bool?
        package var usesEDNS: Bool?
        package var isPublic: Bool?
    }

    package var version: String
    package var hostname: String
    package var listeners: [String]
    package var chain: [String]
    /// Attempts that wait in memory and that run.
    package var waiting: Int
    package var running: Int
    package var breakers: [Breaker]
    /// How many more ways of each provider are left alone, for one destination or sender; nil where all are listed.
    package var otherBreakers: [String: Int]?
    package var dnsSources: [Source]
    /// What the gateway has found out by itself; nil while lookups succeed.
    package var diagnosis: String?
}
