import FoundationEssentials
package import HTTPTransport

extension SendGridService {
    private struct Scopes: Decodable {
        var scopes: [String]
    }

    package var probe: HTTPRequest {
        HTTPRequest(
            method: .get,
            url: self.endpoint.url("/v3/scopes"),
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
}
