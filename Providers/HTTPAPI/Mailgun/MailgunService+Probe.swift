package import HTTPTransport
import MessageFormat

extension MailgunService {
    package var probe: HTTPRequest {
        let credential = Base64.encode("api:\(self.configuration.key.value)".utf8)
        return HTTPRequest(
            method: .get,
            url: self.endpoint.url("/v3/domains/\(self.configuration.domain ?? "")"),
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
}
