import Delivery
import FoundationEssentials
import MailModel

extension MailgunService {
    /// Mailgun's table: what each status and text means.
    package func verdict(on response: ServiceResponse, to call: ServiceCall) -> Verdict {
        let body = try? JSONDecoder().decode(Answer.self, from: Data(response.body))
        // The body may be plain text, and on a wrong path it is.
        let text = body?.message ?? String(decoding: response.body.prefix(2_000), as: UTF8.self)
        let quote = response.quote(text)
        if response.status == 200 {
            guard let id = body?.id, !id.isEmpty else {
                return .all(.failed(ServiceFailures.misconfigured(quote)))
            }
            // The webhooks name messages without angle brackets.
            let name = response.fit(bare(id))
            return .all(.delivered(Acceptance(reply: Reply(250, .init(2, 0, 0), quote), providerMessageID: name)))
        }
        if response.status == 400, mentionsRecipient(text) {
            return .refusedUnnamed(ServiceFailures.recipient(quote))
        }
        return .all(.failed(self.failure(response, text: plainWords(text), quote: quote)))
    }

    private func failure(_ response: ServiceResponse, text: String, quote: String) -> Failure {
        switch response.status {
        case 400 where text.contains("from parameter is not a valid address"):
            ServiceFailures.message(quote)
        case 400 where text.contains("not allowed to send"):
            ServiceFailures.sender(quote)
        case 400, 422:
            ServiceFailures.unsupported(quote)
        case 401:
            ServiceFailures.authentication(quote)
        case 402:
            ServiceFailures.quota(quote, wait: response.wait(text: text))
        case 403 where text.contains("large batches"):
            ServiceFailures.rate(quote, wait: response.wait())
        case 300..<400, 403, 404, 405, 406, 415, 451:
            ServiceFailures.misconfigured(quote)
        case 413:
            ServiceFailures.tooLarge(quote)
        // An edge that has nobody to hand a call to says 503, too; no mail was taken over. Of 500, 502 and 504 nobody
        // knows, whatever their body: those behind the edge may have had the call.
        case 421, 503:
            ServiceFailures.unavailable(quote, wait: response.wait())
        case 429:
            ServiceFailures.rate(quote, wait: response.wait(text: quote))
        case 408, 409, 425, 500..., ..<300:
            ServiceFailures.unclear(quote)
        default:
            ServiceFailures.unsupported(quote)
        }
    }

    private struct Answer: Decodable {
        var id: String?
        var message: String?
    }
}

/// In lower case and without quotes, which stand around a name in some texts and not in others.
private func plainWords(_ text: String) -> String {
    text.lowercased().filter { $0 != "'" && $0 != "\"" }
}

/// "to parameter is not a valid address", and the same for cc and bcc and "to/cc/bcc".
private func mentionsRecipient(_ text: String) -> Bool {
    let text = plainWords(text)
    let words = text.split { !$0.isLetter }
    return text.contains("parameter is not a valid address") && words.first != "from"
        && words.contains { ["to", "cc", "bcc"].contains($0) }
}
