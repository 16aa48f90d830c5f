import DNSProtocol
import SMTPClient
import SMTPProtocol
import TestKit
import Testing

@Suite("A connection to a host with TLSA records")
struct DANEConnectionTests {
    private let fixture = ClientFixture()
    private let material: TLSMaterial

    init() throws {
        self.material = try TLSMaterial.shared.get()
    }

    private func hop(_ exchanger: FakeExchanger, _ usage: UInt8, _ file: String) throws -> NextHop {
        let record = TLSAssociation(usage: usage, selector: 1, matchingType: 1, data: try self.material.octets(file))
        let associations = DANEAssociations(
            [record],
            serverName: "mx.example.test",
            names: ["mx.example.test", "example.com"]
        )
        return self.fixture.hop(to: exchanger, tls: .required(.startTLS, .dane(try #require(associations))))
    }

    private func script(_ chain: String, key: String) throws -> FakeExchangerScript {
        var script = FakeExchangerScript()
        script.offersStartTLS = true
        script.certificates = (chain, try self.material.key(key))
        return script
    }

    @Test("delivers where they match, and says so")
    func matches() async throws {
        for (usage, file, chain, key) in [
            (UInt8(3), "selfsigned.spki.sha256", try self.material.chain("selfsigned"), "selfsigned"),
            (3, "expired.spki.sha256", try self.material.chain("expired"), "expired"),
            (2, "intermediate.spki.sha256", try self.material.chain("leaf", "intermediate"), "leaf"),
        ] {
            try await FakeExchanger.run(self.script(chain, key: key)) { exchanger in
                let report = try await self.fixture.deliver(over: self.hop(exchanger, usage, file))
                #expect(report.results.areAccepted, "\(file): \(report.results)")
                #expect(report.tls == "TLSv1.3 dane")
                #expect(report.localAddress == "127.0.0.1")
            }
        }
    }

    @Test("gives nothing away where they do not match, nor where TLS is not offered or broken")
    func refuses() async throws {
        let good = try self.script(self.material.chain("leaf", "intermediate"), key: "leaf")
        var stripped = good
        stripped.offersStartTLS = false
        var broken = good
        broken.breaksHandshake = true
        let forged = try self.script(self.material.chain("forged", "intermediate"), key: "forged")
        let wrong = try self.script(self.material.chain("wrong-name", "intermediate"), key: "wrong-name")
        for (script, usage, file, fault) in [
            (good, UInt8(3), "root.spki.sha256", CertificateFault.noAssociation),
            (good, 2, "root.spki.sha256", .noAssociation),
            (forged, 2, "intermediate.spki.sha256", .notTrusted),
            (wrong, 2, "intermediate.spki.sha256", .hostMismatch),
            (stripped, 3, "leaf.spki.sha256", nil),
            (broken, 3, "leaf.spki.sha256", nil),
        ] {
            try await FakeExchanger.run(script) { exchanger in
                let failure = try await self.fixture.deliver(over: self.hop(exchanger, usage, file)).results.first?
                    .failure
                #expect(failure?.stage == .tls)
                if case .certificate(let seen, let text)? = failure?.cause {
                    #expect(seen == fault)
                    #expect(text == "mx.example.test is wanted")
                } else {
                    #expect(fault == nil, "\(String(describing: failure))")
                }
                #expect(!exchanger.record.commands.contains { $0.hasPrefix("MAIL") })
                #expect(self.fixture.commits.value == 0)
            }
        }
    }

    @Test("a verified hop says what is wrong with the certificate")
    func verifiedFaults() async throws {
        try await self.material.withFile("root") { roots in
            for (chain, key, fault) in [
                (try self.material.chain("leaf", "intermediate"), "leaf", CertificateFault?.none),
                (try self.material.chain("wrong-name", "intermediate"), "wrong-name", .hostMismatch),
                (try self.material.chain("expired", "intermediate"), "expired", .expired),
                (try self.material.chain("selfsigned"), "selfsigned", .notTrusted),
            ] {
                try await FakeExchanger.run(self.script(chain, key: key)) { exchanger in
                    var hop = self.fixture.hop(to: exchanger, tls: .required(.startTLS, .verified))
                    hop.trustRootsFile = roots
                    let report = await self.fixture.deliver(over: hop)
                    guard case .certificate(let seen, _)? = report.results.first?.failure?.cause else {
                        #expect(fault == nil && report.results.areAccepted, "\(report.results)")
                        return
                    }
                    #expect(seen == fault)
                }
            }
        }
    }

    @Test("REQUIRETLS goes only to a server that has proved who it is and makes the same promise (RFC 8689 §4.2.1)")
    func requireTLS() async throws {
        var promising = try self.script(self.material.chain("leaf", "intermediate"), key: "leaf")
        promising.extensions.append("REQUIRETLS")
        let silent = try self.script(self.material.chain("leaf", "intermediate"), key: "leaf")
        for (script, isVerified, isTaken) in [
            (promising, true, true), (silent, true, false), (promising, false, false),
        ] {
            try await FakeExchanger.run(script) { exchanger in
                var hop = try self.hop(exchanger, 3, "leaf.spki.sha256")
                hop.tls = isVerified ? hop.tls : .required(.startTLS, .unverified)
                let report = await self.fixture.deliver(over: hop, requireTLS: true)
                #expect(report.results.areAccepted == isTaken)
                #expect(
                    exchanger.record.commands.contains { $0.hasPrefix("MAIL") && $0.hasSuffix("REQUIRETLS") } == isTaken
                )
                #expect(isTaken || report.results.first?.failure?.cause == .notOffered("REQUIRETLS"))
            }
        }
    }
}
