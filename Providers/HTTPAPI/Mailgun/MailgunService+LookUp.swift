import FoundationEssentials
package import HTTPTransport

extension MailgunService {
    private struct Events: Decodable {
        struct Event: Decodable {
            var event: String?
            var recipient: String?
        }

        var items: [Event]
    }

    /// As many events as Mailgun gives at a time.
    private static var pageLimit: Int { 300 }

    /// The events of the message that say "accepted", of which there is one for each recipient.
    ///
    /// A key that may only send is refused here. Events come some seconds late: what is due sooner, as right after
    /// a crash, or was for more recipients than one page holds, may be sent again.
    package func lookUp(_ mail: OutgoingMail) -> HTTPRequest? {
        guard let domain = try? self.domain(mail), let id = queryValue(mail.bareMessageID) else {
            return nil
        }
        return self.get("/v3/\(domain)/events?event=accepted&limit=\(Self.pageLimit)&message-id=\(id)")
    }

    package func takenOver(in response: HTTPResponse) -> [String]? {
        guard response.status == 200,
            let events = try? JSONDecoder().decode(Events.self, from: Data(response.body))
        else {
            return nil
        }
        return events.items.filter { $0.event == "accepted" }.compactMap(\.recipient)
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
