package import Delivery
import FoundationEssentials
package import HTTPTransport

extension SendGridService {
    private struct Scopes: Decodable {
        var scopes: [String]
    }

    private struct Credits: Decodable {
        var remain: Double?
        var total: Double?
        var overage: Double?
        var nextReset: String?
        var resetFrequency: String?

        enum CodingKeys: String, CodingKey {
            case remain, total, overage
            case nextReset = "next_reset"
            case resetFrequency = "reset_frequency"
        }
    }

    package var probe: HTTPRequest { self.get("/v3/scopes") }

    package var quotaRequest: HTTPRequest? { self.get("/v3/user/credits") }

    private func get(_ path: String) -> HTTPRequest {
        HTTPRequest(
            method: .get,
            url: self.endpoint.url(path),
            headers: [("Authorization", "Bearer \(self.configuration.key.value)"), ("Accept", "application/json")],
            timeout: .seconds(10)
        )
    }

    package func keyVerdict(on response: HTTPResponse) -> KeyVerdict {
        switch response.status {
        case 200:
            guard let scopes = try? JSONDecoder().decode(Scopes.self, from: Data(response.body)).scopes else {
                return .unproven("GET /v3/scopes brought something else than scopes")
            }
            return scopes.contains("mail.send")
                ? .accepted("the key has the scope mail.send") : .refused("the key lacks the scope mail.send")
        case 401, 403: return .refused("the key is not accepted (HTTP \(response.status))")
        case let status: return .unproven("GET /v3/scopes brought HTTP \(status)")
        }
    }

    package func quota(in response: HTTPResponse) -> ProviderQuota {
        switch response.status {
        case 200: break
        case 401, 403: return .untold("the key may not read the credits (HTTP \(response.status))")
        case let status: return .untold("GET /v3/user/credits brought HTTP \(status)")
        }
        guard let credits = try? JSONDecoder().decode(Credits.self, from: Data(response.body)) else {
            return .untold("GET /v3/user/credits brought something else than credits")
        }
        // Where the account has no limit both are null.
        guard let remain = credits.remain, let total = credits.total else {
            return .unlimited
        }
        guard let remaining = wholeNumber(remain), let limit = wholeNumber(total) else {
            return .untold("GET /v3/user/credits brought numbers that are none")
        }
        let frequency = scrubbed(credits.resetFrequency ?? "", of: self.secrets)
        let reset = scrubbed(credits.nextReset ?? "", of: self.secrets)
        return .allowance(
            .init(
                remaining: remaining,
                limit: limit,
                overage: credits.overage.flatMap(wholeNumber) ?? 0,
                period: [frequency, reset.isEmpty ? "" : "until \(reset)"].filter { !$0.isEmpty }.joined(
                    separator: ", "
                )
            )
        )
    }
}
