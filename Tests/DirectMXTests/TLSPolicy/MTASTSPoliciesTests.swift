import DNSProtocol
import Delivery
import HTTPTransport
import MailModel
import TestKit
import Testing

@testable import DirectMX

@Suite("The MTA-STS policies of domains")
struct MTASTSPoliciesTests {
    private let memory = SecurityMemory()

    private func policies(
        _ resolver: PolicyResolver,
        _ server: PolicyServer,
        recency: Duration = .zero
    ) -> MTASTSPolicies {
        let memory = self.memory
        return MTASTSPolicies(resolver: resolver, client: server, archive: memory, recency: recency) { memory.now }
    }

    @Test("are not fetched for a domain that announces none")
    func unannounced() async {
        let server = PolicyServer(mode: "enforce", mx: "mx.example.com")
        for texts: Lookup<String> in [
            .noSuchName(timeToLive: .zero), .noData(timeToLive: .zero), .unavailable(.init("nobody")),
            .records(["v=spf1 -all"], timeToLive: .zero),
        ] {
            let verdict = await self.policies(PolicyResolver(texts), server).verdict(on: "example.com")
            #expect(verdict.policy == nil && verdict.failure == nil)
        }
        #expect(server.urls.isEmpty)
    }

    @Test("are fetched once, kept in memory and store, and fetched anew when the id changes")
    func kept() async {
        let server = PolicyServer(mode: "enforce", mx: "mx.example.com")
        let resolver = PolicyResolver(.announced("a1"))
        let policies = self.policies(resolver, server)
        for _ in 0..<3 {
            #expect(await policies.verdict(on: "Example.com").policy?.mode == .enforce)
        }
        #expect(server.urls == ["https://mta-sts.example.com/.well-known/mta-sts.txt"])
        #expect(self.memory.policies["example.com"]?.id == "a1")
        #expect(await self.policies(resolver, server).verdict(on: "example.com").story == "enforce, kept")
        #expect(server.urls.count == 1)
        server.set(PolicyServer.response("version: STSv1\nmode: testing\nmx: a.example\nmax_age: 100\n"))
        resolver.set(.announced("a2"))
        #expect(await policies.verdict(on: "example.com").story == "testing, fetched")
        #expect(self.memory.policies["example.com"]?.id == "a2")
    }

    @Test("apply as kept until their max_age is over, whatever fails meanwhile (RFC 8461 §5.1)")
    func outlivesFailures() async {
        let server = PolicyServer(mode: "enforce", mx: "mx.example.com", maximumAge: 1_000)
        let resolver = PolicyResolver(.announced("a1"))
        let policies = self.policies(resolver, server)
        #expect(await policies.verdict(on: "example.com").policy != nil)
        server.set(PolicyServer.refusal)
        resolver.set(.announced("a2"))
        let verdict = await policies.verdict(on: "example.com")
        #expect(verdict.policy?.mode == .enforce)
        #expect(verdict.failure?.kind == .stsPolicyFetchError)
        // Not tried again at once.
        #expect(await policies.verdict(on: "example.com").story == "enforce, kept (could not be fetched lately)")
        #expect(server.urls.count == 2)
        resolver.set(.noSuchName(timeToLive: .zero))
        #expect(await policies.verdict(on: "example.com").policy?.mode == .enforce)
        resolver.set(.unavailable(.init("nobody")))
        #expect(await policies.verdict(on: "example.com").policy?.mode == .enforce)
        // Who does not answer is not asked again at once.
        let asked = resolver.questions
        #expect(await policies.verdict(on: "example.com").policy?.mode == .enforce)
        #expect(resolver.questions == asked)
        self.memory.advance(by: .seconds(1_001))
        #expect(await policies.verdict(on: "example.com").policy == nil)
    }

    struct Fault: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var answer: Result<HTTPResponse, HTTPFailure>
        var kind: TLSResult.Kind
    }

    private static let good = "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 100\n"

    @Test(
        "are none when what is served is not as it must be (RFC 8461 §3.3)",
        arguments: [
            Fault(testDescription: "refused", answer: PolicyServer.refusal, kind: .stsPolicyFetchError),
            Fault(
                testDescription: "a bad certificate",
                answer: .failure(HTTPFailure(kind: .tls, bodySent: false, description: "bad certificate")),
                kind: .stsWebPKIInvalid
            ),
            Fault(
                testDescription: "a redirect",
                answer: PolicyServer.response(Self.good, status: 301),
                kind: .stsPolicyFetchError
            ),
            Fault(
                testDescription: "not found",
                answer: PolicyServer.response(Self.good, status: 404),
                kind: .stsPolicyFetchError
            ),
            Fault(
                testDescription: "a web page",
                answer: PolicyServer.response(Self.good, type: "text/html"),
                kind: .stsPolicyFetchError
            ),
            Fault(
                testDescription: "too long",
                answer: PolicyServer.response(Self.good, isTruncated: true),
                kind: .stsPolicyInvalid
            ),
            Fault(testDescription: "no policy", answer: PolicyServer.response("hello"), kind: .stsPolicyInvalid),
        ]
    )
    func faults(_ fault: Fault) async {
        let server = PolicyServer(fault.answer)
        let verdict = await self.policies(PolicyResolver(.announced("a1")), server).verdict(on: "example.com")
        #expect(verdict.policy == nil)
        #expect(verdict.failure?.kind == fault.kind)
        #expect(self.memory.policies.isEmpty)
    }

    @Test("are not looked for again with each of many messages, and a failure is told once")
    func recent() async {
        let resolver = PolicyResolver(.announced("a1"))
        let policies = self.policies(resolver, PolicyServer(PolicyServer.refusal), recency: .seconds(600))
        #expect(await policies.verdict(on: "example.com").failure != nil)
        for _ in 0..<10 {
            #expect(await policies.verdict(on: "example.com").failure == nil)
        }
        #expect(resolver.questions == 1)
    }

    @Test("are asked for once by many at a time")
    func shared() async {
        let server = PolicyServer(mode: "enforce", mx: "mx.example.com")
        let policies = self.policies(PolicyResolver(.announced("a1")), server)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<50 {
                group.addTask { await policies.verdict(on: "example.com").policy?.mode == .enforce }
            }
            for await isThere in group {
                #expect(isThere)
            }
        }
        #expect(server.urls.count == 1)
    }
}
