import DNSProtocol
import Delivery
import HTTPTransport

/// Gets a domain's policy from its HTTPS server (RFC 8461 §3.3).
struct MTASTSFetcher: Sendable {
    /// Why there is no policy, in the words of TLS reports.
    struct Failure: Error, Hashable {
        var kind: TLSResult.Kind
        var text: String
    }

    let resolver: any Resolver
    let client: any HTTPClient

    /// No redirects, no cache, status 200, `text/plain`, at most 64 KiB, and a certificate for `mta-sts.DOMAIN`.
    func fetch(_ domain: String) async throws(Failure) -> (text: String, policy: MTASTSPolicy) {
        let host = "mta-sts.\(domain)"
        guard host.utf8.count <= 253, domain.utf8.allSatisfy(Self.isOfNames) else {
            throw Failure(kind: .stsPolicyFetchError, text: "\(host) is no host name")
        }
        let resolution = await self.resolver.addresses(of: host)
        guard case .records(let addresses, timeToLive: _) = resolution.lookup, !addresses.isEmpty else {
            throw Failure(kind: .stsPolicyFetchError, text: "\(host) has no address")
        }
        let request = HTTPRequest(
            method: .get,
            url: "https://\(host)/.well-known/mta-sts.txt",
            connectTimeout: .seconds(5),
            timeout: .seconds(15),
            responseLimit: 65_536
        )
        let response: HTTPResponse
        do {
            response = try await self.client.send(request, addresses: addresses)
        } catch {
            let kind: TLSResult.Kind = error.kind == .tls ? .stsWebPKIInvalid : .stsPolicyFetchError
            throw Failure(kind: kind, text: "\(host): \(error.description)")
        }
        let text = try self.text(of: response, host)
        guard let policy = MTASTSPolicy(text) else {
            throw Failure(kind: .stsPolicyInvalid, text: "\(host): what it serves is no policy")
        }
        return (text, policy)
    }

    private func text(of response: HTTPResponse, _ host: String) throws(Failure) -> String {
        guard response.status == 200 else {
            throw Failure(kind: .stsPolicyFetchError, text: "\(host): status \(response.status)")
        }
        let type = response.headers.last { $0.name.lowercased() == "content-type" }?.value ?? ""
        guard type.prefix(while: { $0 != ";" && $0 != " " }).lowercased() == "text/plain" else {
            let shown = String(decoding: type.utf8.prefix(60).filter { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self)
            throw Failure(kind: .stsPolicyFetchError, text: "\(host): not text/plain but \"\(shown)\"")
        }
        guard !response.isTruncated else {
            throw Failure(kind: .stsPolicyInvalid, text: "\(host): more than 64 KiB")
        }
        return String(decoding: response.body, as: UTF8.self)
    }

    private static func isOfNames(_ octet: UInt8) -> Bool {
        switch octet {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }
}
