import DNSProtocol
import Delivery
import HTTPTransport
import MailModel
import Synchronization
import TestKit

@testable import DirectMX

/// Serves one policy, as it is set, and counts who asks.
final class PolicyServer: HTTPClient {
    private let state: Mutex<(answer: Result<HTTPResponse, HTTPFailure>, urls: [String])>

    init(_ answer: Result<HTTPResponse, HTTPFailure>) {
        self.state = Mutex((answer, []))
    }

    convenience init(mode: String, mx: String, maximumAge: Int = 604_800) {
        self.init(Self.response("version: STSv1\nmode: \(mode)\nmx: \(mx)\nmax_age: \(maximumAge)\n"))
    }

    var urls: [String] {
        self.state.withLock(\.urls)
    }

    func set(_ answer: Result<HTTPResponse, HTTPFailure>) {
        self.state.withLock { $0.answer = answer }
    }

    func send(_ request: HTTPRequest, addresses: [IPAddress]) async throws(HTTPFailure) -> HTTPResponse {
        try self.state.withLock { state in
            state.urls.append(request.url)
            return state.answer
        }.get()
    }

    static func response(
        _ text: String,
        status: Int = 200,
        type: String = "text/plain; charset=utf-8",
        isTruncated: Bool = false
    ) -> Result<HTTPResponse, HTTPFailure> {
        .success(
            HTTPResponse(
                status: status,
                headers: [("Content-Type", type)],
                body: Array(text.utf8),
                isTruncated: isTruncated
            )
        )
    }

    static let refusal = Result<HTTPResponse, HTTPFailure>.failure(
        HTTPFailure(kind: .connect, bodySent: false, description: "refused")
    )
}

/// A store in memory, and a clock that stands where it is put.
final class SecurityMemory: SecurityArchive {
    private struct State {
        var policies: [String: KeptPolicy] = [:]
        var hosts: [ClearTextHost] = []
        var results: [TLSResult] = []
        var now = Timestamp(seconds: 1_800_000_000)
    }

    private let state = Mutex(State())

    var results: [TLSResult] { self.state.withLock(\.results) }
    var policies: [String: KeptPolicy] { self.state.withLock(\.policies) }
    var hosts: [ClearTextHost] { self.state.withLock(\.hosts) }
    var now: Timestamp { self.state.withLock(\.now) }

    func advance(by duration: Duration) {
        self.state.withLock { $0.now = $0.now + duration }
    }

    func stsPolicy(of domain: String) async -> KeptPolicy? {
        self.state.withLock { $0.policies[domain] }
    }

    func keep(_ policy: KeptPolicy) {
        self.state.withLock { $0.policies[policy.domain] = policy }
    }

    func clearTextHosts(at now: Timestamp) async -> [ClearTextHost] {
        self.state.withLock { $0.hosts.filter { $0.until > now } }
    }

    func keep(_ host: ClearTextHost) {
        self.state.withLock { state in
            state.hosts.removeAll { $0.host == host.host && $0.address == host.address }
            state.hosts.append(host)
        }
    }

    func count(_ result: TLSResult, at now: Timestamp) {
        self.state.withLock { $0.results.append(result) }
    }
}

/// A resolver whose TXT records can change.
final class PolicyResolver: Resolver {
    private let texts: Mutex<Lookup<String>>
    private let asked = Mutex(0)

    init(_ texts: Lookup<String>) {
        self.texts = Mutex(texts)
    }

    var questions: Int { self.asked.withLock { $0 } }

    func set(_ texts: Lookup<String>) {
        self.texts.withLock { $0 = texts }
    }

    func mailExchangers(of domain: String) async -> Resolution<MailExchanger> {
        Resolution(lookup: .noData(timeToLive: .zero), observations: [])
    }

    func addresses(of host: String) async -> Resolution<IPAddress> {
        Resolution(lookup: .hosts("192.0.2.1"), observations: [])
    }

    func text(of name: String) async -> Resolution<String> {
        self.asked.withLock { $0 += 1 }
        return Resolution(lookup: self.texts.withLock { $0 }, observations: [])
    }

    func tlsAssociations(of name: String) async -> Resolution<TLSAssociation> {
        Resolution(lookup: .noData(timeToLive: .zero), observations: [])
    }
}

extension Lookup<String> {
    static func announced(_ id: String) -> Lookup<String> {
        .records(["v=STSv1; id=\(id);"], timeToLive: .seconds(60))
    }
}
