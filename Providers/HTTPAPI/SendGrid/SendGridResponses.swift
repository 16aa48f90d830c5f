import Delivery
import FoundationEssentials
import MailModel

extension SendGridService {
    /// SendGrid's table: what each status, field and text means.
    package func verdict(on response: ServiceResponse, to call: ServiceCall) -> Verdict {
        let errors = (try? JSONDecoder().decode(Answer.self, from: Data(response.body)))?.errors ?? []
        let text = errors.compactMap(\.message).joined(separator: "; ")
        let quote = response.quote(text)
        if response.status == 202 || (response.status == 200 && self.configuration.isSandbox) {
            let id = response.header("X-Message-Id").map { response.fit($0) }
            let reply = Reply(250, .init(2, 0, 0), response.fit("HTTP \(response.status) accepted"))
            return .all(.delivered(Acceptance(reply: reply, providerMessageID: id)))
        }
        if response.status == 400 {
            let refused = self.refusedRecipients(errors, call, response)
            if !refused.isEmpty {
                return .refused(refused)
            }
        }
        return .all(.failed(self.failure(response, errors, text: text.lowercased(), quote: quote)))
    }

    private func failure(_ response: ServiceResponse, _ errors: [Item], text: String, quote: String) -> Failure {
        switch response.status {
        case 400 where errors.contains { $0.field == "from" || $0.field?.hasPrefix("from.") == true }:
            return ServiceFailures.message(quote)
        case 400, 422:
            return ServiceFailures.unsupported(quote)
        case 401 where text.contains("maximum credits exceeded"):
            return ServiceFailures.quota(quote, wait: response.wait())
        case 401:
            return ServiceFailures.authentication(quote)
        case 402:
            return ServiceFailures.quota(quote, wait: response.wait())
        case 403 where text.contains("verified sender identity"):
            return ServiceFailures.sender(quote)
        case 403:
            return ServiceFailures.authentication(quote)
        case 300..<400, 404, 405, 406, 415, 451:
            return ServiceFailures.misconfigured(quote)
        case 413:
            return ServiceFailures.tooLarge(quote)
        // An edge that has nobody to hand a call to says 503 without JSON; no mail was taken over.
        case 421, 503:
            return ServiceFailures.unavailable(quote, wait: response.wait())
        case 429:
            // This header stands on every response and tells of the rate of requests, never of credits.
            return ServiceFailures.rate(quote, wait: response.wait(resetHeader: "X-RateLimit-Reset"))
        // The API itself says that it failed; without its words, as from an edge, nobody knows what became of the call.
        case 500... where !errors.isEmpty:
            return ServiceFailures.unavailable(quote, wait: response.wait())
        case 408, 409, 425, 500..., ..<300:
            return ServiceFailures.unclear(quote)
        default:
            return ServiceFailures.unsupported(quote)
        }
    }

    /// The recipients that a 400 names by their place, such as `personalizations.0.to.3.email`.
    private func refusedRecipients(
        _ errors: [Item],
        _ call: ServiceCall,
        _ response: ServiceResponse
    ) -> [Recipient.Number: Failure] {
        var refused: [Recipient.Number: Failure] = [:]
        for error in errors {
            let words = (error.field ?? "").split(separator: ".", omittingEmptySubsequences: false)
            guard words.count >= 4, words[0] == "personalizations", words[1] == "0" else {
                continue
            }
            for number in call.places["\(words[2]).\(words[3])"] ?? [] {
                refused[number] = ServiceFailures.recipient(response.quote(error.message ?? ""))
            }
        }
        return refused
    }

    private struct Answer: Decodable {
        var errors: [Item]
    }

    private struct Item: Decodable {
        var message: String?
        var field: String?
    }
}
