import FoundationEssentials
package import HTTPTransport

extension MailgunService {
    private struct Events: Decodable {
        struct Event: Decodable {
            var event: String?
            var recipient: String?
        }

        struct Paging: Decodable {
            var next: String?
        }

        var items: [Event]
        var paging: Paging?
    }

    /// As many events as Mailgun gives at a time.
    private static var pageLimit: Int { 300 }

    /// The events of the message that say "accepted", of which there is one for each recipient.
    ///
    /// A key that may only send is refused here. Events come some seconds late.
    package func lookUp(_ mail: OutgoingMail) -> HTTPRequest? {
        guard let domain = try? self.domain(mail), let id = queryValue(mail.bareMessageID) else {
            return nil
        }
        return self.page("\(self.events(domain))?event=accepted&limit=\(Self.pageLimit)&message-id=\(id)")
    }

    package func takenOver(in response: HTTPResponse, of mail: OutgoingMail) -> LookUpPage? {
        guard response.status == 200, !response.isTruncated, let domain = try? self.domain(mail),
            let events = try? JSONDecoder().decode(Events.self, from: Data(response.body))
        else {
            return nil
        }
        var page = LookUpPage(
            takenOver: events.items.filter { $0.event == "accepted" }.compactMap(\.recipient)
        )
        // The page after the last one is empty, and names one more.
        if !events.items.isEmpty, let next = events.paging?.next, !next.isEmpty {
            let path = String(next.dropFirst(self.root.count))
            page.rest = self.isPage(next, of: domain) ? .page(self.page(path)) : .elsewhere
        }
        return page
    }

    private var root: String { self.endpoint.url("") }

    private func events(_ domain: String) -> String { "/v3/\(domain)/events" }

    private func page(_ path: String) -> HTTPRequest {
        var request = self.get(path)
        // Three hundred events are longer than any other response.
        request.responseLimit = 1 << 20
        return request
    }

    /// Whether the key may be shown there: the same service and the same domain's events.
    private func isPage(_ url: String, of domain: String) -> Bool {
        url.utf8.count <= 4_096 && url.hasPrefix(self.endpoint.url(self.events(domain)) + "/") && !url.contains("..")
            && url.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }
}

/// Percent-encoded as far as RFC 3986 §2.3 does not let it stand as it is; nil for nothing.
private func queryValue(_ text: String) -> String? {
    let digits = Array("0123456789ABCDEF".utf8)
    let octets = text.utf8.flatMap { octet -> [UInt8] in
        switch octet {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: [octet]
        default: [UInt8(ascii: "%"), digits[Int(octet >> 4)], digits[Int(octet & 15)]]
        }
    }
    return octets.isEmpty ? nil : String(decoding: octets, as: UTF8.self)
}
