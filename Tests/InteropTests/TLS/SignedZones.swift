import DNSProtocol
import DNSResolver
import Foundation
import Logging
import MailModel
import TestKit

/// A signed zone `test` at a real nsd, an unsigned `plain` beside it, and a validating unbound before both.
///
/// In the signed zone all hosts are on loopback; in the unsigned one each domain's exchanger is one of these.
struct SignedZones {
    let unboundPort: Int
    private let nsdPort: Int
    private let folder: URL

    /// Runs both servers while the body runs.
    ///
    /// `mailPort` is where mail is delivered, for the owner names of TLSA records; at `webAddress` the policies of `plain`
    /// are served.
    static func run(
        mailPort: Int,
        webAddress: String,
        _ body: (SignedZones) async throws -> Void
    ) async throws {
        try await ServerProcess.withFolder { folder in
            let zones = SignedZones(
                unboundPort: try ServerProcess.freePort(),
                nsdPort: try ServerProcess.freePort(),
                folder: folder
            )
            try zones.write(mailPort: mailPort, webAddress: webAddress)
            let nsd = try ServerProcess("nsd", ["-d", "-c", "\(folder.path)/nsd.conf"], in: folder)
            let unbound = try ServerProcess("unbound", ["-d", "-c", "\(folder.path)/unbound.conf"], in: folder)
            let result: Result<Void, any Error>
            do {
                try await zones.wait(for: unbound)
                result = .success(try await body(zones))
            } catch {
                result = .failure(error)
            }
            await unbound.kill()
            await nsd.kill()
            try result.get()
        }
    }

    /// A resolver that asks unbound alone, and believes its word on validation where told to.
    func resolver(trusts: Bool = true) -> ResolverChain {
        let loopback = IPAddress.v4(0x7F00_0001)
        return ResolverChain(
            configuration: ResolverConfiguration(
                sources: [.server(loopback, port: self.unboundPort)],
                resolvConfPath: "/nonexistent",
                sourceTimeout: .seconds(10),
                lookupTimeout: .seconds(30),
                trustedAddresses: trusts ? [loopback] : [],
                trustsLoopback: false
            ),
            group: FakeNameServer.group,
            https: nil,
            archive: nil,
            wallTime: { Timestamp(seconds: 1_800_000_000) },
            logger: Logger(label: "test")
        )
    }

    private func wait(for unbound: ServerProcess) async throws {
        for _ in 0..<200 where unbound.isRunning {
            let resolution = await self.resolver().mailExchangers(of: "good.test")
            if case .records = resolution.lookup, resolution.isSecure {
                return
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        let logs = ["nsd.log", "unbound.log", "script.log"].compactMap {
            try? String(contentsOf: self.folder.appendingPathComponent($0), encoding: .utf8)
        }
        throw ServerProcess.Missing(description: "unbound does not validate:\n\(logs.joined())")
    }

    private func write(mailPort: Int, webAddress: String) throws {
        let files = [
            "test": Self.signedZone(mailPort), "plain": Self.plainZone(webAddress), "nsd.conf": self.nsd,
            "unbound.conf": self.unbound, "leaf.pem": TestCertificates.certificate,
            "authority.pem": TestCertificates.authority,
        ]
        for (name, text) in files {
            try (text + "\n").write(to: self.folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
        }
        try TLSMaterial.shell(Self.script, in: self.folder)
    }

    /// Puts the digests in, signs, and then falsifies one record, whose signature no longer fits.
    private static let script = """
        leaf=$(openssl x509 -in leaf.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64)
        authority=$(openssl x509 -in authority.pem -outform DER | sha512sum | cut -c1-128)
        sed -i "s/LEAF-KEY/$leaf/; s/AUTHORITY/$authority/" test
        zone=$(ldns-keygen -a ECDSAP256SHA256 test)
        key=$(ldns-keygen -k -a ECDSAP256SHA256 test)
        ldns-signzone test "$zone" "$key"
        cp "$key.key" anchor.key
        sed -i 's/TLSA\\(.*\\)00112233445566778899aabbccddeeff/TLSA\\1ffeeddccbbaa99887766554433221100/I' test.signed
        grep -qi 'TLSA.*ffeeddccbbaa9988' test.signed
        """

    private static func signedZone(_ port: Int) -> String {
        let falsified = String(repeating: "00112233445566778899aabbccddeeff", count: 2)
        return """
            $ORIGIN test.
            $TTL 300
            @ IN SOA ns.test. root.test. 1 3600 600 86400 60
            @ IN NS ns.test.
            ns IN A 127.0.0.1
            mx.example IN A 127.0.0.1
            _\(port)._tcp.mx.example IN TLSA 3 1 1 LEAF-KEY
            smtp.example IN A 127.0.0.1
            _\(port)._tcp.smtp.example IN TLSA 2 0 2 AUTHORITY
            wrong.example IN A 127.0.0.1
            _\(port)._tcp.wrong.example IN TLSA 3 1 1 \(String(repeating: "ab", count: 32))
            name.example IN A 127.0.0.1
            _\(port)._tcp.name.example IN TLSA 2 0 2 AUTHORITY
            bogus.example IN A 127.0.0.1
            _\(port)._tcp.bogus.example IN TLSA 3 1 1 \(falsified)
            useless.example IN A 127.0.0.1
            _\(port)._tcp.useless.example IN TLSA 1 1 1 LEAF-KEY
            bare.example IN A 127.0.0.1
            alias.example IN CNAME mx.example
            good IN MX 10 mx.example
            anchor IN MX 10 smtp.example
            wrong IN MX 10 wrong.example
            wrong-name IN MX 10 name.example
            bogus IN MX 10 bogus.example
            useless IN MX 10 useless.example
            bare IN MX 10 bare.example
            alias IN MX 10 alias.example
            second IN MX 10 wrong.example
            second IN MX 20 mx.example
            """
    }

    private static func plainZone(_ webAddress: String) -> String {
        let domains = [
            ("enforced", "mx"), ("other-host", "mx"), ("other-name", "wrong"), ("tested", "wrong"), ("bad-web", "mx"),
        ]
        let records = domains.map { domain, host in
            """
            \(domain) IN MX 10 \(host).example.test.
            _mta-sts.\(domain) IN TXT "v=STSv1; id=1;"
            mta-sts.\(domain) IN A \(webAddress)
            """
        }
        return """
            $ORIGIN plain.
            $TTL 300
            @ IN SOA ns.test. root.test. 1 3600 600 86400 60
            @ IN NS ns.test.
            insecure IN MX 10 wrong.example.test.
            \(records.joined(separator: "\n"))
            """
    }

    private var nsd: String {
        let zones = [(name: "test", file: "test.signed"), (name: "plain", file: "plain")]
        return NSDConfiguration.text(port: self.nsdPort, folder: self.folder.path, zones: zones)
    }

    private var unbound: String {
        let anchor = "trust-anchor-file: \"\(self.folder.path)/anchor.key\""
        return UnboundConfiguration.text(
            ports: [self.unboundPort],
            folder: self.folder.path,
            server: ["module-config: \"validator iterator\"", anchor, "val-log-level: 2"],
            zones: ["test", "plain"],
            authority: self.nsdPort
        )
    }
}
