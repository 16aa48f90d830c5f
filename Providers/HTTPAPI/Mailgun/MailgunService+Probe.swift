package import Delivery
import FoundationEssentials
package import HTTPTransport
import MessageFormat

extension MailgunService {
    private struct Limit: Decodable {
        var limit: Double
        var current: Double
    }

    package var probe: HTTPRequest { self.get("/v3/domains/\(self.configuration.domain ?? "")") }

    package var quotaRequest: HTTPRequest? { self.get("/v5/accounts/limit/custom/monthly") }

    func get(_ path: String) -> HTTPRequest {
        let credential = Base64.encode("api:\(self.configuration.key.value)".utf8)
        return HTTPRequest(
            method: .get,
            url: self.endpoint.url(path),
            headers: [("Authorization", "Basic \(credential)"), ("Accept", "application/json")],
            timeout: .seconds(10)
        )
    }

    package func keyVerdict(on response: HTTPResponse) -> KeyVerdict {
        switch response.status {
        case 200: .accepted("the key is accepted for \(self.configuration.domain ?? "the account")")
        // A key that may only send is refused here, too.
        case 401, 403:
            .unproven("not accepted for reading the domain (HTTP \(response.status)): wrong, or for sending only")
        case 404: .refused("the account has no domain \(self.configuration.domain ?? "") (HTTP 404)")
        case let status: .unproven("GET /v3/domains brought HTTP \(status)")
        }
    }

    package func quota(in response: HTTPResponse) -> ProviderQuota {
        switch response.status {
        case 200: break
        case 401, 403: return .untold("the key may not read the account's limit (HTTP \(response.status))")
        case 404: return .untold("the account has no monthly limit of its own (HTTP 404)")
        case let status: return .untold("GET /v5/accounts/limit/custom/monthly brought HTTP \(status)")
        }
        guard let limit = try? JSONDecoder().decode(Limit.self, from: Data(response.body)),
            let total = wholeNumber(limit.limit), let used = wholeNumber(limit.current)
        else {
            return .untold("GET /v5/accounts/limit/custom/monthly brought something else than a limit")
        }
        return .allowance(.init(remaining: max(0, total - used), limit: total, period: "this month"))
    }
}
