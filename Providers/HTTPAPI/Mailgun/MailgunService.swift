package import Delivery
import HTTPTransport
import MailModel
import MessageFormat

import struct NIOCore.ByteBuffer

/// Mailgun's `messages.mime`: the message goes as it is, and its recipients beside it.
package struct MailgunService: HTTPMailService {
    package let configuration: MailgunConfiguration
    package let endpoint: Endpoint
    package let secrets: [String]
    /// Letters and digits, new for each call and not to be guessed.
    private let makeBoundary: @Sendable () -> String

    /// Makes the service; nil when the base URL of the region cannot be read, which no region has.
    ///
    /// - Parameters:
    ///   - configuration: The operator's settings.
    ///   - makeBoundary: Makes the separator of the form, random unless a test gives another.
    package init?(
        _ configuration: MailgunConfiguration,
        makeBoundary: @escaping @Sendable () -> String = { randomBoundary() }
    ) {
        guard let endpoint = configuration.endpoint ?? Endpoint(configuration.region.baseURL) else {
            return nil
        }
        self.configuration = configuration
        self.endpoint = endpoint
        self.makeBoundary = makeBoundary
        let key = configuration.key.value
        self.secrets = [Base64.encode("api:\(key)".utf8), Base64.encode(key.utf8), key]
    }

    package var sizeLimit: Int { self.configuration.sizeLimit }
    package var needsWholeContent: Bool { false }

    package func compose(_ mail: OutgoingMail, to recipients: [Recipient]) throws(Failure) -> Composition {
        let domain = try self.domain(mail)
        let objections = recipients.compactMap { recipient in
            ServiceFailures.objection(to: recipient).map { (recipient.number, $0) }
        }
        var composition = Composition(calls: [], refused: Dictionary(objections) { first, _ in first })
        let possible = recipients.filter { composition.refused[$0.number] == nil }
        let step = max(1, self.configuration.recipientLimit)
        for start in stride(from: 0, to: possible.count, by: step) {
            let group = Array(possible[start..<min(possible.count, start + step)])
            composition.calls.append(ServiceCall(recipients: group, request: self.request(mail, group, domain)))
        }
        return composition
    }

    /// The sending domain, which becomes a part of the path.
    func domain(_ mail: OutgoingMail) throws(Failure) -> String {
        let senders = AddressList(mail.header, "From").mailboxes
        // Seen by others: a local part that is not ASCII gives a header that nobody can deliver.
        guard senders.allSatisfy({ $0.localPart.utf8.allSatisfy { $0 < 0x80 } }) else {
            throw ServiceFailures.cannotCarry("this service takes only From addresses in ASCII")
        }
        guard let domain = self.configuration.domain ?? senders.first?.asciiDomain, isDomainName(domain) else {
            throw ServiceFailures.cannotCarry("the From field names no domain that could be the sending domain")
        }
        return domain
    }

    private func request(_ mail: OutgoingMail, _ recipients: [Recipient], _ domain: String) -> HTTPRequest {
        let content = message(mail)
        var form = MultipartForm(boundary: self.boundary(for: content))
        for recipient in recipients {
            form.add("to", recipient.mailbox.inASCIIWherePossible)
        }
        form.add("o:tracking", "no")
        // A tag that Mailgun might refuse is not worth the message.
        for tag in MessageTags.tags(of: mail.header) where tag.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) {
            form.add("o:tag", tag)
        }
        if self.configuration.isTestMode {
            form.add("o:testmode", "yes")
        }
        form.addFile("message", filename: "message.mime", type: "message/rfc822", content)
        let credential = Base64.encode("api:\(self.configuration.key.value)".utf8)
        return HTTPRequest(
            method: .post,
            url: self.endpoint.url("/v3/\(domain)/messages.mime"),
            headers: [
                ("Authorization", "Basic \(credential)"), ("Accept", "application/json"),
                ("Content-Type", form.contentType), ("User-Agent", "Hikyaku"),
            ],
            body: form.finish(),
            timeout: self.configuration.timeout
        )
    }

    /// A boundary that the content does not hold; that of a file is random enough not to be looked for.
    private func boundary(for content: [HTTPRequest.Piece]) -> String {
        var boundary = self.makeBoundary()
        for _ in 0..<8 where content.contains(where: { holds($0, boundary) }) {
            boundary = self.makeBoundary() + "x"
        }
        return boundary
    }
}

/// The message without Bcc fields.
private func message(_ mail: OutgoingMail) -> [HTTPRequest.Piece] {
    switch mail.content {
    case .file(let path, let size):
        return [.file(path: path, size: size)]
    case .bytes(let buffer):
        guard mail.header.first("Bcc") != nil || mail.header.first("Resent-Bcc") != nil else {
            return [.bytes(buffer)]
        }
        var header = ByteBuffer()
        for field in mail.header.fields where !field.isNamed("Bcc") && !field.isNamed("Resent-Bcc") {
            header.writeString("\(field.name):")
            header.writeBytes(field.rawBody)
            header.writeStaticString("\r\n")
        }
        header.writeStaticString("\r\n")
        var body = buffer
        body.moveReaderIndex(forwardBy: min(mail.header.length, body.readableBytes))
        return [.bytes(header), .bytes(body)]
    }
}

private func holds(_ piece: HTTPRequest.Piece, _ boundary: String) -> Bool {
    guard case .bytes(let buffer) = piece, let first = boundary.utf8.first else {
        return false
    }
    let view = buffer.readableBytesView
    var start = view.startIndex
    while let found = view[start...].firstIndex(of: first) {
        if view[found...].starts(with: boundary.utf8) {
            return true
        }
        start = found + 1
    }
    return false
}

/// 128 random bits in hexadecimal after a fixed beginning.
package func randomBoundary() -> String {
    "hikyaku" + [UInt64.random(in: .min ... .max), .random(in: .min ... .max)].map { String($0, radix: 16) }.joined()
}
