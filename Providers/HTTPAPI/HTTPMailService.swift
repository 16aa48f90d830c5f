import DNSProtocol
package import Delivery
package import HTTPTransport
package import MailModel
package import MessageFormat

package import struct NIOCore.ByteBuffer

/// One mail API: how it wants a message to be told, and what its responses mean.
///
/// A service is a value without state; `HTTPAPIProvider` resolves, sends and records for all of them.
package protocol HTTPMailService: Sendable {
    var endpoint: Endpoint { get }
    /// Octets of a content beyond which the service is not asked.
    var sizeLimit: Int { get }
    /// False where the content can be streamed from its file as it is.
    var needsWholeContent: Bool { get }
    /// Texts that must not leave the process except in a request: the key in every form in which it is sent.
    var secrets: [String] { get }

    /// Makes the requests that carry a message to these recipients; throws when the service cannot carry it.
    func compose(_ mail: OutgoingMail, to recipients: [Recipient]) throws(Failure) -> Composition

    /// A request that asks for whom the service has taken a message over; nil where nobody tells.
    func lookUp(_ mail: OutgoingMail) -> HTTPRequest?

    /// What a response to that request tells; nil when it tells nothing.
    func takenOver(in response: HTTPResponse, of mail: OutgoingMail) -> LookUpPage?

    /// A request that shows whether the key is accepted, and sends nothing.
    var probe: HTTPRequest { get }

    /// What a response to that request says of the key.
    func keyVerdict(on response: HTTPResponse) -> KeyVerdict

    /// A request that asks what may still be sent; nil where the service has none.
    var quotaRequest: HTTPRequest? { get }

    /// What a response to that request says.
    func quota(in response: HTTPResponse) -> ProviderQuota

    /// What a response to one call means: the service's table.
    func verdict(on response: ServiceResponse, to call: ServiceCall) -> Verdict
}

extension HTTPMailService {
    package func lookUp(_ mail: OutgoingMail) -> HTTPRequest? { nil }
    package func takenOver(in response: HTTPResponse, of mail: OutgoingMail) -> LookUpPage? { nil }
}

/// A page of a service's answer to the question for whom it has a message.
package struct LookUpPage: Sendable {
    /// Where the answer goes on.
    package enum Rest: Sendable {
        /// This page is the last one.
        case none
        case page(HTTPRequest)
        /// There is more, at a place where it is not asked for.
        case elsewhere
    }

    /// Addresses for which the service has taken the message over.
    package var takenOver: [String]
    package var rest: Rest

    package init(takenOver: [String], rest: Rest = .none) {
        self.takenOver = takenOver
        self.rest = rest
    }
}

/// A message on its way to a service.
package struct OutgoingMail: Sendable {
    package enum Content: Sendable {
        case bytes(ByteBuffer)
        case file(path: String, size: Int)
    }

    package let id: QueueID
    package let reversePath: ReversePath
    package let messageID: String
    package let header: HeaderSection
    package let content: Content

    package init(
        id: QueueID,
        reversePath: ReversePath,
        messageID: String,
        header: HeaderSection,
        content: Content
    ) {
        self.id = id
        self.reversePath = reversePath
        self.messageID = messageID
        self.header = header
        self.content = content
    }
}

extension OutgoingMail {
    /// Whether the From field, which is all that a service judges a sender by, is of the domain of the reverse-path.
    var isFromReversePath: Bool {
        guard let domain = self.reversePath.mailbox?.domain.text else {
            return false
        }
        let own = (DomainALabels.ascii(domain) ?? domain).lowercased()
        let senders = AddressList(self.header, "From").mailboxes
        return !senders.isEmpty && senders.allSatisfy { $0.asciiDomain.lowercased() == own }
    }
}

/// What a service said of a key without being given mail.
package enum KeyVerdict: Hashable, Sendable {
    case accepted(String)
    case refused(String)
    /// The service answers, and its answer proves nothing about sending.
    case unproven(String)
}

/// The calls that together carry a message to its recipients.
package struct Composition: Sendable {
    package var calls: [ServiceCall]
    /// Recipients that this service cannot be asked about at all.
    package var refused: [Recipient.Number: Failure]
    /// The To and Cc that recipients see are not those of the message.
    package var headerRewritten: Bool

    package init(calls: [ServiceCall], refused: [Recipient.Number: Failure] = [:], headerRewritten: Bool = false) {
        self.calls = calls
        self.refused = refused
        self.headerRewritten = headerRewritten
    }
}

/// One request and whom it is for.
package struct ServiceCall: Sendable {
    package var recipients: [Recipient]
    package var request: HTTPRequest
    /// Where the service names recipients by their place in the request: `to.0`.
    package var places: [String: [Recipient.Number]]

    package init(recipients: [Recipient], request: HTTPRequest, places: [String: [Recipient.Number]] = [:]) {
        self.recipients = recipients
        self.request = request
        self.places = places
    }
}

/// What a response to one call means.
package enum Verdict: Hashable, Sendable {
    /// The same for all its recipients.
    case all(Outcome)
    /// Nothing was sent because of these recipients: the others can be asked for again.
    case refused([Recipient.Number: Failure])
    /// Nothing was sent because of a recipient that the response does not name: ask in halves.
    case refusedUnnamed(Failure)
}
