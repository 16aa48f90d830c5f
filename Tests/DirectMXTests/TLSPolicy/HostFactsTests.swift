import DNSProtocol
import Delivery
import MailModel
import SMTPClient
import TestKit
import Testing

@testable import DirectMX

@Suite("How a host may be connected to")
struct HostFactsTests {
    private static let associations = DANEAssociations(
        [TLSAssociation(usage: 3, selector: 1, matchingType: 1, data: [UInt8](repeating: 1, count: 32))],
        serverName: "mx.example.com",
        names: ["mx.example.com"]
    )

    private static var dane: DANEFinding {
        self.associations.map { .associations($0) } ?? .absent
    }

    private static var byDANE: TLSPolicy {
        self.associations.map { .required(.startTLS, .dane($0)) } ?? .none
    }

    private static let verified = TLSPolicy.required(.startTLS, .verified)
    private static let unverified = TLSPolicy.required(.startTLS, .unverified)

    struct Row: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var wish = HostFacts.Wish.usual
        var usesTLS = true
        var isSecure = false
        var dane = DANEFinding.absent
        /// Mode and pattern of an MTA-STS policy.
        var sts: (mode: String, mx: String)?
        /// Nil: the host is not used.
        var tls: TLSPolicy?
        var fallback: TLSPolicy?
        var status = ""
        var policy = TLSResult.Policy.none
    }

    @Test(
        "is decided by the domain's policies and the message",
        arguments: [
            Row(testDescription: "nothing known", tls: .opportunistic),
            Row(testDescription: "TLS switched off", usesTLS: false, dane: Self.dane, tls: TLSPolicy.none),
            Row(testDescription: "TLSA", isSecure: true, dane: Self.dane, tls: Self.byDANE, policy: .tlsa),
            Row(
                testDescription: "TLSA goes before MTA-STS",
                isSecure: true,
                dane: Self.dane,
                sts: ("enforce", "other.example.com"),
                tls: Self.byDANE,
                policy: .tlsa
            ),
            Row(
                testDescription: "TLSA cannot be asked",
                isSecure: true,
                dane: .failed("SERVFAIL"),
                sts: ("enforce", "mx.example.com"),
                tls: nil,
                status: "4.4.3",
                policy: .tlsa
            ),
            Row(
                testDescription: "TLSA without use: TLS, whoever it is",
                isSecure: true,
                dane: .unusable,
                tls: Self.unverified,
                policy: .tlsa
            ),
            Row(
                testDescription: "TLSA without use, and MTA-STS",
                isSecure: true,
                dane: .unusable,
                sts: ("enforce", "*.example.com"),
                tls: Self.verified,
                policy: .sts
            ),
            Row(
                testDescription: "enforced",
                sts: ("enforce", "mx.example.com"),
                tls: Self.verified,
                policy: .sts
            ),
            Row(
                testDescription: "enforced, another host",
                sts: ("enforce", "mx2.example.com"),
                tls: nil,
                status: "4.7.5",
                policy: .sts
            ),
            Row(
                testDescription: "tested",
                sts: ("testing", "mx.example.com"),
                tls: Self.verified,
                fallback: .opportunistic,
                policy: .sts
            ),
            Row(
                testDescription: "tested, another host",
                sts: ("testing", "mx2.example.com"),
                tls: .opportunistic,
                policy: .sts
            ),
            Row(testDescription: "given up", sts: ("none", "mx2.example.com"), tls: .opportunistic),
            Row(
                testDescription: "TLS-Required: No",
                wish: .anyhow,
                isSecure: true,
                dane: Self.dane,
                sts: ("enforce", "mx2.example.com"),
                tls: .opportunistic
            ),
            Row(testDescription: "REQUIRETLS, nothing known", wish: .protected, tls: nil, status: "5.7.10"),
            Row(
                testDescription: "REQUIRETLS, TLS switched off",
                wish: .protected,
                usesTLS: false,
                tls: nil,
                status: "5.7.10"
            ),
            Row(testDescription: "REQUIRETLS, DNSSEC", wish: .protected, isSecure: true, tls: Self.verified),
            Row(
                testDescription: "REQUIRETLS, TLSA",
                wish: .protected,
                isSecure: true,
                dane: Self.dane,
                tls: Self.byDANE,
                policy: .tlsa
            ),
            Row(
                testDescription: "REQUIRETLS, TLSA without use",
                wish: .protected,
                isSecure: true,
                dane: .unusable,
                tls: Self.verified,
                policy: .tlsa
            ),
            Row(
                testDescription: "REQUIRETLS, a tested policy binds",
                wish: .protected,
                sts: ("testing", "mx.example.com"),
                tls: Self.verified,
                policy: .sts
            ),
            Row(
                testDescription: "REQUIRETLS, a tested policy names others",
                wish: .protected,
                sts: ("testing", "mx2.example.com"),
                tls: nil,
                status: "5.7.10"
            ),
        ]
    )
    func decides(_ row: Row) {
        let policy = row.sts.flatMap {
            MTASTSPolicy("version: STSv1\nmode: \($0.mode)\nmx: \($0.mx)\nmax_age: 86400")
        }
        #expect((policy == nil) == (row.sts == nil))
        let facts = HostFacts(
            host: "mx.example.com",
            domain: "example.com",
            wish: row.wish,
            usesTLS: row.usesTLS,
            exchangersAreSecure: row.isSecure,
            dane: row.dane,
            sts: policy
        )
        switch facts.verdict {
        case .use(let plan):
            #expect(plan.tls == row.tls)
            #expect(plan.fallback == row.fallback)
            #expect(plan.policy == row.policy)
        case .refuse(let failure, _, let policy):
            #expect(row.tls == nil)
            #expect(failure.status.description == row.status)
            #expect(failure.persistence == (row.status.hasPrefix("5") ? .permanent : .transient))
            #expect(policy == row.policy)
        }
    }

    struct Zone: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var canonicalName: String?
        var records: [String: Lookup<TLSAssociation>] = [:]
        var secure: Set<String> = []
        var serverName: String?
        var finding: DANEFinding?
        var questions: [String]
    }

    private static let record = Lookup.records(
        [TLSAssociation(usage: 3, selector: 1, matchingType: 1, data: [UInt8](repeating: 1, count: 32))],
        timeToLive: .seconds(60)
    )

    @Test(
        "by TLSA records at the name's end first, then at the name itself (RFC 7672 §2.2.3)",
        arguments: [
            Zone(
                testDescription: "at the host",
                records: ["_25._tcp.mx.example.com": Self.record],
                secure: ["_25._tcp.mx.example.com"],
                serverName: "mx.example.com",
                questions: ["TLSA _25._tcp.mx.example.com"]
            ),
            Zone(
                testDescription: "where its alias ends",
                canonicalName: "real.example.net",
                records: ["_25._tcp.real.example.net": Self.record, "_25._tcp.mx.example.com": Self.record],
                secure: ["_25._tcp.real.example.net", "_25._tcp.mx.example.com"],
                serverName: "real.example.net",
                questions: ["TLSA _25._tcp.real.example.net"]
            ),
            Zone(
                testDescription: "not where its alias ends",
                canonicalName: "real.example.net",
                records: ["_25._tcp.mx.example.com": Self.record],
                secure: ["_25._tcp.mx.example.com"],
                serverName: "mx.example.com",
                questions: ["TLSA _25._tcp.real.example.net", "TLSA _25._tcp.mx.example.com"]
            ),
            Zone(
                testDescription: "not validated",
                records: ["_25._tcp.mx.example.com": Self.record],
                finding: .absent,
                questions: ["TLSA _25._tcp.mx.example.com"]
            ),
            Zone(testDescription: "none", finding: .absent, questions: ["TLSA _25._tcp.mx.example.com"]),
            Zone(
                testDescription: "nobody can say",
                records: ["_25._tcp.mx.example.com": .unavailable(.init("SERVFAIL"))],
                finding: .failed("SERVFAIL"),
                questions: ["TLSA _25._tcp.mx.example.com"]
            ),
            Zone(
                testDescription: "only what mail cannot use",
                records: [
                    "_25._tcp.mx.example.com": .records(
                        [TLSAssociation(usage: 1, selector: 1, matchingType: 1, data: [1])],
                        timeToLive: .seconds(60)
                    )
                ],
                secure: ["_25._tcp.mx.example.com"],
                finding: .unusable,
                questions: ["TLSA _25._tcp.mx.example.com"]
            ),
        ]
    )
    func finds(_ zone: Zone) async {
        let resolver = ScriptedResolver(associations: zone.records, secureNames: zone.secure)
        let finding = await DANEFinding.find(
            "mx.Example.com.",
            canonicalName: zone.canonicalName,
            port: 25,
            otherNames: ["example.com"],
            resolver: resolver
        ) { _, _ in }
        #expect(resolver.questions == zone.questions)
        if case .associations(let associations) = finding {
            #expect(associations.serverName == zone.serverName)
            #expect(associations.names.first == zone.serverName)
            #expect(Set(associations.names).isSuperset(of: ["mx.example.com", "example.com"]))
        } else {
            #expect(finding == zone.finding)
        }
    }
}
