package import Delivery
import FoundationEssentials
import HTTPTransport
import MailModel
import MessageFormat

import struct NIOCore.ByteBuffer

/// SendGrid's v3 Mail Send: the message is taken apart and told as JSON.
package struct SendGridService: HTTPMailService {
    package let configuration: SendGridConfiguration
    package let endpoint: Endpoint
    package let secrets: [String]

    /// Makes the service; nil when the base URL of the region cannot be read, which no region has.
    package init?(_ configuration: SendGridConfiguration) {
        guard let endpoint = configuration.endpoint ?? Endpoint(configuration.region.baseURL) else {
            return nil
        }
        self.configuration = configuration
        self.endpoint = endpoint
        self.secrets = [configuration.key.value, Base64.encode(configuration.key.value.utf8)]
    }

    package var sizeLimit: Int { self.configuration.sizeLimit }
    package var needsWholeContent: Bool { true }

    package func compose(_ mail: OutgoingMail, to recipients: [Recipient]) throws(Failure) -> Composition {
        let json = try SendGridMail(mail, try bodies(mail), isSandbox: self.configuration.isSandbox)
        let objections = recipients.compactMap { recipient in
            ServiceFailures.objection(to: recipient).map { (recipient.number, $0) }
        }
        var composition = Composition(calls: [], refused: Dictionary(objections) { first, _ in first })
        let possible = recipients.filter { composition.refused[$0.number] == nil }
        // With all attachments in it, and so written once for all calls.
        let common = try octets(json)
        // One call names so many and no more.
        let step = max(1, self.configuration.recipientLimit)
        for start in stride(from: 0, to: possible.count, by: step) {
            let group = Array(possible[start..<min(possible.count, start + step)])
            try self.add(group, of: mail, common, to: &composition)
        }
        return composition
    }

    private func add(
        _ recipients: [Recipient],
        of mail: OutgoingMail,
        _ common: ByteBuffer,
        to composition: inout Composition
    ) throws(Failure) {
        let shown = SendGridRecipients(mail.header, recipients)
        let isApart = shown.personalization.to.isEmpty
        if shown.headerRewritten || isApart && shown.personalization.cc != nil {
            composition.headerRewritten = true
        }
        // Without anybody to show in To, each is told alone: To must not be empty, and must not tell of the others.
        for (group, named) in isApart ? apart(recipients) : [(recipients, shown)] where !group.isEmpty {
            let request = try self.request(named.personalization, common)
            composition.calls.append(ServiceCall(recipients: group, request: request, places: named.places))
        }
    }

    /// Puts the personalization before the object that all calls share.
    private func request(
        _ personalization: SendGridMail.Personalization,
        _ common: ByteBuffer
    ) throws(Failure) -> HTTPRequest {
        var head = ByteBuffer(string: #"{"personalizations":["#)
        head.writeImmutableBuffer(try octets(personalization))
        head.writeStaticString("],")
        var rest = common
        rest.moveReaderIndex(forwardBy: 1)
        let size = head.readableBytes + rest.readableBytes
        guard size <= self.configuration.sizeLimit else {
            throw Failure(
                .permanent,
                .capability,
                .data,
                status: .init(5, 3, 4),
                text: "\(size) octets of JSON are more than the \(self.configuration.sizeLimit) that are taken",
                reason: .tooLarge
            )
        }
        return HTTPRequest(
            method: .post,
            url: self.endpoint.url("/v3/mail/send"),
            headers: [
                ("Authorization", "Bearer \(self.configuration.key.value)"), ("Accept", "application/json"),
                ("Content-Type", "application/json"), ("User-Agent", "Hikyaku"),
            ],
            body: .pieces([.bytes(head), .bytes(rest)]),
            timeout: self.configuration.timeout
        )
    }
}

/// A JSON object, never an empty one.
private func octets(_ value: some Encodable) throws(Failure) -> ByteBuffer {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(value) else {
        throw ServiceFailures.cannotCarry("the message could not be written as JSON")
    }
    return ByteBuffer(bytes: data)
}

/// Each address by itself, with all its recipient numbers.
private func apart(_ recipients: [Recipient]) -> [([Recipient], SendGridRecipients)] {
    var groups: [[Recipient]] = []
    var places: [String: Int] = [:]
    for recipient in recipients {
        let key = recipient.mailbox.asciiKey
        if let place = places[key] {
            groups[place].append(recipient)
        } else {
            places[key] = groups.count
            groups.append([recipient])
        }
    }
    return groups.map { ($0, SendGridRecipients(alone: $0)) }
}

private func bodies(_ mail: OutgoingMail) throws(Failure) -> MessageBodies {
    guard case .bytes(let buffer) = mail.content else {
        throw ServiceFailures.cannotCarry("the content was not read")
    }
    do throws(MIMEProblem) {
        return try MessageBodies(try MIMETree(Array(buffer.readableBytesView)))
    } catch {
        throw ServiceFailures.cannotCarry(words(error))
    }
}

private func words(_ problem: MIMEProblem) -> String {
    switch problem {
    case .headerTooLarge: "the header section is too large to be taken apart"
    case .nestedTooDeep: "the parts of the message are nested too deep"
    case .tooManyParts: "the message has too many parts"
    case .protected(let what): "\(what) would not survive being told as JSON"
    case .unknownCharset(let name): "the charset \(name) cannot be read"
    }
}
