import DNSProtocol
import SMTPClient
import SMTPProtocol
import TestKit
import Testing

@Suite("A server's certificate and its TLSA records (RFC 7672 §3.1)")
struct DANEVerifierTests {
    private let material: TLSMaterial

    init() throws {
        self.material = try TLSMaterial.shared.get()
    }

    struct Row: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// Usage, selector, matching type and the file of the data.
        var records: [(UInt8, UInt8, UInt8, String)]
        var presented: [String] = ["leaf", "intermediate"]
        var names: [String] = ["mx.example.test"]
        var fault: CertificateFault?
    }

    @Test(
        "are compared by usage, selector and matching type, with digests that openssl made",
        arguments: [
            Row(testDescription: "3 0 0", records: [(3, 0, 0, "leaf.cert.der")], fault: nil),
            Row(testDescription: "3 0 1", records: [(3, 0, 1, "leaf.cert.sha256")], fault: nil),
            Row(testDescription: "3 0 2", records: [(3, 0, 2, "leaf.cert.sha512")], fault: nil),
            Row(testDescription: "3 1 0", records: [(3, 1, 0, "leaf.spki.der")], fault: nil),
            Row(testDescription: "3 1 1", records: [(3, 1, 1, "leaf.spki.sha256")], fault: nil),
            Row(testDescription: "3 1 2", records: [(3, 1, 2, "leaf.spki.sha512")], fault: nil),
            Row(
                testDescription: "3 1 1 of another key",
                records: [(3, 1, 1, "root.spki.sha256")],
                fault: .noAssociation
            ),
            Row(
                testDescription: "3 1 1 of the issuer, who is not the server",
                records: [(3, 1, 1, "intermediate.spki.sha256")],
                fault: .noAssociation
            ),
            Row(
                testDescription: "3 0 1 of the key's digest",
                records: [(3, 0, 1, "leaf.spki.sha256")],
                fault: .noAssociation
            ),
            Row(
                testDescription: "usage 3 asks for no name",
                records: [(3, 1, 1, "leaf.spki.sha256")],
                names: ["other.example.test"],
                fault: nil
            ),
            Row(
                testDescription: "usage 3 asks for no date",
                records: [(3, 0, 1, "expired.cert.sha256")],
                presented: ["expired"],
                fault: nil
            ),
            Row(
                testDescription: "usage 3 asks for no issuer",
                records: [(3, 1, 1, "selfsigned.spki.sha256")],
                presented: ["selfsigned"],
                fault: nil
            ),
            Row(
                testDescription: "one of several is enough, as while a key is changed",
                records: [(3, 1, 1, "root.spki.sha256"), (3, 1, 1, "leaf.spki.sha256")],
                fault: nil
            ),
            Row(testDescription: "2 0 1", records: [(2, 0, 1, "intermediate.cert.sha256")], fault: nil),
            Row(testDescription: "2 1 1", records: [(2, 1, 1, "intermediate.spki.sha256")], fault: nil),
            Row(
                testDescription: "2 1 2 of the root, by way of the intermediate",
                records: [(2, 1, 2, "root.spki.sha512")],
                presented: ["leaf", "intermediate", "root"],
                fault: nil
            ),
            Row(
                testDescription: "2 1 1 of a root that is not presented",
                records: [(2, 1, 1, "root.spki.sha256")],
                fault: .noAssociation
            ),
            Row(
                testDescription: "2 0 0 of a root that is not presented, but whole in the DNS",
                records: [(2, 0, 0, "root.cert.der")],
                fault: nil
            ),
            Row(
                testDescription: "usage 2 under a name of the domain's",
                records: [(2, 0, 1, "intermediate.cert.sha256")],
                names: ["example.test", "mx.example.test"],
                fault: nil
            ),
            Row(
                testDescription: "usage 2 under another name",
                records: [(2, 0, 1, "intermediate.cert.sha256")],
                names: ["mx2.example.test"],
                fault: .hostMismatch
            ),
            Row(
                testDescription: "usage 2 with a certificate for another host",
                records: [(2, 0, 1, "intermediate.cert.sha256")],
                presented: ["wrong-name", "intermediate"],
                fault: .hostMismatch
            ),
            Row(
                testDescription: "usage 2 with an expired certificate",
                records: [(2, 0, 1, "intermediate.cert.sha256")],
                presented: ["expired", "intermediate"],
                fault: .notTrusted
            ),
            Row(
                testDescription: "usage 2: the anchor is shown, but has not signed",
                records: [(2, 0, 1, "intermediate.cert.sha256")],
                presented: ["forged", "intermediate"],
                fault: .notTrusted
            ),
            Row(
                testDescription: "usage 2: a namesake has signed, and is shown first",
                records: [(2, 1, 1, "root.spki.sha256")],
                presented: ["forged", "impostor", "root"],
                fault: .notTrusted
            ),
            Row(
                testDescription: "nothing presented",
                records: [(3, 1, 1, "leaf.spki.sha256")],
                presented: [],
                fault: .noAssociation
            ),
        ]
    )
    func compares(_ row: Row) async throws {
        let records = try row.records.map { usage, selector, matchingType, file in
            TLSAssociation(
                usage: usage,
                selector: selector,
                matchingType: matchingType,
                data: try self.material.octets(file)
            )
        }
        let associations = try #require(DANEAssociations(records, serverName: "mx.example.test", names: row.names))
        let presented = try row.presented.map { try self.material.octets("\($0).cert.der") }
        switch DANEVerifier.compare(presented, with: associations) {
        case .matched: #expect(row.fault == nil)
        case .failed(let fault): #expect(row.fault == fault)
        case .anchors(let anchors):
            let fault = await DANEVerifier.fault(of: presented, under: anchors, names: associations.names)
            #expect(row.fault == fault)
        }
    }

    @Test("that mail cannot use are left out; none left means that none was usable (RFC 7672 §3.1.3)")
    func unusable() {
        let data = [UInt8](repeating: 7, count: 32)
        let bad = [
            TLSAssociation(usage: 0, selector: 1, matchingType: 1, data: data),
            TLSAssociation(usage: 1, selector: 1, matchingType: 1, data: data),
            TLSAssociation(usage: 255, selector: 1, matchingType: 1, data: data),
            TLSAssociation(usage: 3, selector: 2, matchingType: 1, data: data),
            TLSAssociation(usage: 3, selector: 1, matchingType: 3, data: data),
            TLSAssociation(usage: 3, selector: 1, matchingType: 2, data: data),
            TLSAssociation(usage: 3, selector: 1, matchingType: 1, data: Array(data.dropLast())),
            TLSAssociation(usage: 2, selector: 0, matchingType: 0, data: []),
        ]
        #expect(DANEAssociations(bad, serverName: "mx", names: []) == nil)
        let good = TLSAssociation(usage: 3, selector: 1, matchingType: 1, data: data)
        #expect(DANEAssociations(bad + [good], serverName: "mx", names: [])?.records == [good])
    }

    @Test("never trap on garbage in the place of a certificate, nor match it")
    func garbage() async throws {
        let whole = try self.material.octets("leaf.cert.der")
        let associations = try #require(
            DANEAssociations(
                [TLSAssociation(usage: 3, selector: 1, matchingType: 0, data: [0x30, 0x00])],
                serverName: "mx",
                names: []
            )
        )
        for length in stride(from: 0, to: whole.count, by: 7) {
            let piece = Array(whole.prefix(length))
            #expect(DANEVerifier.compare([piece], with: associations) == .failed(.noAssociation))
            #expect(await DANEVerifier.fault(of: [piece, piece], under: [piece], names: ["mx"]) == .notTrusted)
        }
    }
}
