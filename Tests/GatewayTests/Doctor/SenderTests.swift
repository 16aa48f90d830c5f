import DNSProtocol
import MailModel
import Testing

@testable import Gateway

@Suite("What receivers make of a sender")
struct SenderTests {
    struct Walk: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let zone: [String: [String]]
        /// Domain of the record and what applies; nil: none.
        let expected: (String, DMARCPolicy.Disposition)?
    }

    static let trees: [Walk] = [
        Walk(
            testDescription: "a record of its own",
            zone: [
                "TXT _dmarc.mail.app.test": ["v=DMARC1; p=quarantine"], "TXT _dmarc.app.test": ["v=DMARC1; p=reject"],
            ],
            expected: ("mail.app.test", .quarantine)
        ),
        Walk(
            testDescription: "the record of a domain above",
            zone: ["TXT _dmarc.app.test": ["v=DMARC1; p=reject"]],
            expected: ("app.test", .reject)
        ),
        Walk(
            testDescription: "what that says of subdomains",
            zone: ["TXT _dmarc.app.test": ["v=DMARC1;p=none; sp = reject"]],
            expected: ("app.test", .reject)
        ),
        Walk(
            testDescription: "the highest of several",
            zone: ["TXT _dmarc.app.test": ["v=DMARC1; p=none"], "TXT _dmarc.test": ["v=DMARC1; p=reject"]],
            expected: ("test", .reject)
        ),
        Walk(
            testDescription: "no higher than where organizations begin",
            zone: ["TXT _dmarc.app.test": ["v=DMARC1; p=none; psd=n"], "TXT _dmarc.test": ["v=DMARC1; p=reject"]],
            expected: ("app.test", .none)
        ),
        Walk(testDescription: "nothing", zone: ["TXT _dmarc.app.test": ["v=spf1 -all"]], expected: nil),
    ]

    @Test("its policy is found up the tree", arguments: trees)
    func walks(_ row: Walk) async {
        let found = await DMARCPolicy.discover("mail.app.test", ScriptedLookups(row.zone))
        guard let expected = row.expected else {
            #expect(found == .none)
            return
        }
        guard case .found(let policy) = found else {
            Issue.record("\(found)")
            return
        }
        #expect((policy.domain, policy.disposition) == expected)
    }

    @Test("the walk is bounded: of a long name the middle is left out")
    func bounded() async {
        let lookups = ScriptedLookups([:])
        #expect(await DMARCPolicy.discover("a.b.c.d.e.f.g.h.i.j.test", lookups) == .none)
        #expect(lookups.questions.count == 8)
        #expect(lookups.questions.first == "TXT _dmarc.a.b.c.d.e.f.g.h.i.j.test")
        #expect(lookups.questions[1] == "TXT _dmarc.e.f.g.h.i.j.test")
        #expect(lookups.questions.last == "TXT _dmarc.test")
    }

    @Test("a policy that cannot be read or asked is told apart from none")
    func troubles() async {
        let twice = ScriptedLookups(["TXT _dmarc.app.test": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]])
        #expect(await DMARCPolicy.discover("app.test", twice) == .broken("_dmarc.app.test has 2 records"))
        let nonsense = ScriptedLookups(["TXT _dmarc.app.test": ["v=DMARC1; sp=none"]])
        #expect(await DMARCPolicy.discover("app.test", nonsense) == .broken("_dmarc.app.test cannot be read"))
        let silent = ScriptedLookups([:], unavailable: ["TXT _dmarc.app.test"])
        #expect(await DMARCPolicy.discover("app.test", silent) == .unavailable("nobody answers"))
    }

    @Test(
        "keys are read",
        arguments: [
            ("v=DKIM1; k=rsa; p=\(String(repeating: "A", count: 392))", .present(type: "rsa", octets: 294)),
            ("k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", .present(type: "ed25519", octets: 32)),
            ("v=DKIM1; p=", .revoked), ("v=DKIM1; p=<key>", .broken), ("v=spf1 -all", nil), ("v=DKIM2; p=AAAA", nil),
        ] as [(String, DKIMKey?)]
    )
    func keys(_ text: String, _ expected: DKIMKey?) {
        #expect(DKIMKey(text) == expected)
    }

    // MARK: Judging

    private static let us = IPAddress.v4(0xCB00_7109)

    private static func proof(
        _ policy: SenderCheck.Proof.Policy,
        _ disposition: DMARCPolicy.Disposition? = nil,
        keys: [String: DKIMKey] = [:]
    ) -> SenderCheck.Proof {
        let dmarc = disposition.map { disposition in
            DMARCPolicy.Discovery.found(
                DMARCPolicy(record: .init(policy: disposition), domain: "app.test", disposition: disposition)
            )
        }
        return .init(domain: "app.test", provider: "way", policy: policy, keys: keys, dmarc: dmarc ?? .none)
    }

    private static func direct(_ result: SPFResult) -> SenderCheck.Proof.Policy {
        .addresses([self.us: result], lookups: 3)
    }

    struct Judgement: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let proof: SenderCheck.Proof
        let expected: [DoctorFinding.Result]
        let words: String
    }

    static let judgements = [
        Judgement(
            testDescription: "SPF passes",
            proof: proof(direct(.pass), .reject),
            expected: [.pass],
            words: "SPF passes for 203.0.113.9 (3 of 10 lookups), aligned"
        ),
        Judgement(
            testDescription: "SPF fails",
            proof: proof(direct(.fail)),
            expected: [.fail],
            words: "add ip4:203.0.113.9 to the SPF record of app.test"
        ),
        Judgement(
            testDescription: "no SPF where nobody asks",
            proof: proof(direct(.none)),
            expected: [.warn],
            words: "publish app.test TXT \"v=spf1 ip4:203.0.113.9 ~all\""
        ),
        Judgement(
            testDescription: "softfail under a strict policy",
            proof: proof(direct(.softfail), .quarantine),
            expected: [.fail],
            words: "DMARC asks to quarantine what proves nothing"
        ),
        Judgement(
            testDescription: "softfail, with a key",
            proof: proof(direct(.softfail), .reject, keys: ["k": .present(type: "rsa", octets: 294)]),
            expected: [.warn],
            words: "or sign each mail with DKIM"
        ),
        Judgement(
            testDescription: "DNS did not answer",
            proof: proof(direct(.temporaryError("nobody answers")), .reject),
            expected: [.skip],
            words: "nobody answers"
        ),
        Judgement(
            testDescription: "a service with its key",
            proof: proof(
                .service("sendgrid.net", isIncluded: false),
                .reject,
                keys: ["s1": .present(type: "rsa", octets: 294)]
            ),
            expected: [.pass],
            words: "DKIM key s1._domainkey is there"
        ),
        Judgement(
            testDescription: "a service that is not set up",
            proof: proof(.service("sendgrid.net", isIncluded: false), .reject, keys: ["s1": .revoked]),
            expected: [.warn, .warn],
            words: "include:sendgrid.net"
        ),
        Judgement(
            testDescription: "a service in SPF",
            proof: proof(.service("_spf.google.com", isIncluded: true)),
            expected: [.pass],
            words: "SPF includes _spf.google.com"
        ),
        Judgement(
            testDescription: "a service, and DNS did not answer",
            proof: proof(.service("sendgrid.net", isIncluded: nil), .reject),
            expected: [.skip],
            words: "DNS could not be asked"
        ),
        Judgement(
            testDescription: "a relay outside of the policy",
            proof: proof(.relay(.fail), .reject),
            expected: [.warn],
            words: "it may send from others"
        ),
        Judgement(testDescription: "an unknown address", proof: proof(.unknown), expected: [.skip], words: "not known"),
    ]

    @Test("each way is judged by what proves the sender there", arguments: judgements)
    func judges(_ row: Judgement) {
        let findings = SenderJudge.findings(row.proof)
        #expect(findings.map(\.result) == row.expected)
        #expect(findings[0].detail.contains(row.words), "\(findings)")
        #expect((findings[0].fact != nil) == (row.expected[0] == .fail))
    }

    // MARK: Identity

    @Test("an address needs a name that leads back to it")
    func pointers() {
        let found = { (names: [String], forward: [String: [IPAddress]]) in
            IdentityCheck.pointerFinding(
                Self.us,
                names.isEmpty ? .noSuchName(timeToLive: .zero) : .records(names, timeToLive: .zero),
                forward.mapValues { .records($0, timeToLive: .zero) },
                hostname: "gw.app.test"
            )
        }
        #expect(found(["gw.app.test"], ["gw.app.test": [Self.us]]).result == .pass)
        #expect(found(["isp.test"], ["isp.test": [Self.us]]).detail.contains("though we say gw.app.test"))
        #expect(found(["isp.test"], ["isp.test": [.v4(1)]]).result == .fail)
        #expect(found([], [:]).detail.hasPrefix("203.0.113.9 has no PTR record"))
    }

    @Test("the name in EHLO must be a full one with our address")
    func names() {
        let found = { (name: String, lookup: Lookup<IPAddress>) in
            IdentityCheck.nameFinding(name, lookup, ours: [Self.us]).result
        }
        #expect(found("gw.app.test", .records([Self.us], timeToLive: .zero)) == .pass)
        #expect(found("gw.app.test", .records([.v4(1)], timeToLive: .zero)) == .warn)
        #expect(found("gw.app.test", .noSuchName(timeToLive: .zero)) == .warn)
        #expect(found("3f9a1c", .records([Self.us], timeToLive: .zero)) == .warn)
    }

    @Test("addresses are written backwards for PTR")
    func reverse() throws {
        #expect(Self.us.reverseName == "9.113.0.203.in-addr.arpa")
        let six = try #require(IPAddress("2001:db8::567:89ab"))
        #expect(six.reverseName == "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa")
    }
}
