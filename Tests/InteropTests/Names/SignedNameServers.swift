import DNSProtocol
import DNSResolver
import Foundation
import Logging
import MailModel
import TestKit

/// Real name servers around signed zones: nsd knows them, one unbound validates, and dnsmasq hands out whatever there is.
///
/// `signed.test` is in order, the signatures of `expired.test` are of another year, a record of `forged.test` was changed
/// after it had been signed, and `plain.test` is not signed at all.
struct SignedNameServers {
    static let zones = ["signed.test", "expired.test", "forged.test", "plain.test"]

    let folder: URL
    private let ports: [String: Int]
    private let processes: [ServerProcess]

    /// Signs the zones, and starts all three servers.
    ///
    /// A validator that gives no reasons (RFC 8914) says SERVFAIL and nothing else.
    static func run(givesReasons: Bool = true, _ body: (SignedNameServers) async throws -> Void) async throws {
        try await ServerProcess.withFolder { folder in
            var ports: [String: Int] = [:]
            for name in ["nsd", "unbound", "tls", "https", "dnsmasq"] {
                ports[name] = try ServerProcess.freePort()
            }
            for zone in self.zones {
                try await self.make(zone, in: folder)
            }
            try self.configure(ports, givesReasons: givesReasons, in: folder)
            let path = folder.path
            var processes: [ServerProcess] = []
            let result: Result<Void, any Error>
            do {
                processes.append(try ServerProcess("nsd", ["-d", "-c", "\(path)/nsd.conf"], in: folder))
                processes.append(try ServerProcess("unbound", ["-d", "-c", "\(path)/unbound.conf"], in: folder))
                processes.append(try ServerProcess("dnsmasq", ["-k", "-C", "\(path)/dnsmasq.conf"], in: folder))
                let servers = SignedNameServers(folder: folder, ports: ports, processes: processes)
                try await servers.wait()
                try await body(servers)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            for process in processes {
                await process.kill()
            }
            try result.get()
        }
    }

    /// `unbound` over UDP, `tls`, `https` (the same unbound, encrypted), `dnsmasq` or `nsd`.
    func source(_ name: String) throws -> DNSSource {
        let port = self.ports[name] ?? 0
        switch name {
        case "tls": return try DNSSource("tls://mx.example.test@127.0.0.1:\(port)")
        case "https": return try DNSSource("https://mx.example.test@127.0.0.1:\(port)/dns-query")
        default: return try DNSSource("127.0.0.1:\(port)")
        }
    }

    /// A file with the issuer of the certificate that unbound shows.
    var trustRootsFile: String { self.folder.appendingPathComponent("authority.pem").path }

    func chain(
        _ names: String...,
        trustsLoopback: Bool = true,
        confirmers: Confirmers = .allBut([]),
        https: DNSOverHTTPSTransport? = nil
    ) throws -> ResolverChain {
        ResolverChain(
            configuration: ResolverConfiguration(
                sources: try names.map(self.source),
                resolvConfPath: "/nonexistent",
                sourceTimeout: .seconds(10),
                lookupTimeout: .seconds(30),
                headStart: .seconds(10),
                trustsLoopback: trustsLoopback,
                confirmers: confirmers,
                trustRootsFile: self.trustRootsFile
            ),
            group: FakeNameServer.group,
            https: https,
            archive: nil,
            wallTime: { Timestamp(seconds: 1_800_000_000) },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    /// Waits until each server answers; throws their logs when one does not.
    private func wait() async throws {
        for _ in 0..<200 where !self.processes.contains(where: { !$0.isRunning }) {
            var answering = 0
            for name in ["nsd", "unbound", "dnsmasq"] {
                if case .records = try await self.chain(name).mailExchangers(of: "plain.test").lookup {
                    answering += 1
                }
            }
            if answering == 3 {
                return
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        let logs = ["nsd", "unbound", "dnsmasq"].map { name in
            // A log that is not there tells as much as an empty one.
            (try? String(contentsOf: self.folder.appendingPathComponent("\(name).log"), encoding: .utf8)) ?? ""
        }
        throw ServerProcess.Missing(description: "a name server does not answer:\n\(logs.joined(separator: "\n"))")
    }
}

// MARK: - Zones and configurations

extension SignedNameServers {
    private static func make(_ zone: String, in folder: URL) async throws {
        let text = """
            $ORIGIN \(zone).
            $TTL 300
            @ IN SOA ns.\(zone). root.\(zone). 1 3600 600 86400 60
            @ IN NS ns.\(zone).
            ns IN A 127.0.0.1
            @ IN MX 10 mx1.\(zone).
            mx1 IN A 192.0.2.1
            _25._tcp.mx1 IN TLSA 3 1 1 \(String(repeating: "ab", count: 32))
            alias IN CNAME mx1.\(zone).

            """
        try text.write(to: folder.appendingPathComponent(zone), atomically: true, encoding: .utf8)
        guard zone != "plain.test" else {
            return
        }
        try await self.execute("ldns-keygen", ["-a", "ECDSAP256SHA256", "-k", zone], "keygen-\(zone)", in: folder)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        guard let key = names.first(where: { $0.hasPrefix("K\(zone).") && $0.hasSuffix(".key") })?.dropLast(4) else {
            throw ServerProcess.Missing(description: "ldns-keygen made no key for \(zone)")
        }
        let past = zone == "expired.test" ? ["-i", "20200101000000", "-e", "20200201000000"] : []
        try await self.execute(
            "ldns-signzone",
            past + ["-f", "\(zone).signed", zone, String(key)],
            "signzone-\(zone)",
            in: folder
        )
        let signed = folder.appendingPathComponent("\(zone).signed")
        var records = try String(contentsOf: signed, encoding: .utf8)
        if zone == "forged.test" {
            records = records.replacingOccurrences(of: "192.0.2.1", with: "192.0.2.66")
            records = records.replacingOccurrences(of: "10 mx1.forged", with: "5 mx1.forged")
        }
        try records.write(to: folder.appendingPathComponent(zone), atomically: true, encoding: .utf8)
        let anchor = try String(contentsOf: folder.appendingPathComponent("\(key).key"), encoding: .utf8)
        try anchor.write(to: folder.appendingPathComponent("\(zone).anchor"), atomically: true, encoding: .utf8)
    }

    private static func execute(_ name: String, _ arguments: [String], _ log: String, in folder: URL) async throws {
        // ldns writes into the current folder, which a process of ours does not change: a shell does.
        let words = ([name] + arguments).map { "'\($0)'" }.joined(separator: " ")
        let process = try ServerProcess("bash", ["-c", "cd '\(folder.path)' && exec \(words)"], in: folder, log: log)
        guard try await process.exitStatus() == 0 else {
            let text = try String(contentsOf: folder.appendingPathComponent("\(log).log"), encoding: .utf8)
            throw ServerProcess.Missing(description: "\(name) failed, is ldnsutils installed? \(text)")
        }
    }

    private static func configure(_ ports: [String: Int], givesReasons: Bool, in folder: URL) throws {
        let path = folder.path
        let port = { (name: String) in ports[name] ?? 0 }
        let texts = [
            "nsd.conf": NSDConfiguration.text(port: port("nsd"), folder: path, zones: self.zones.map { ($0, $0) }),
            "unbound.conf": UnboundConfiguration.text(
                ports: ["unbound", "tls", "https"].map(port),
                folder: path,
                server: [
                    "tls-port: \(port("tls"))", "https-port: \(port("https"))", "tls-service-key: \"\(path)/key.pem\"",
                    "tls-service-pem: \"\(path)/certificate.pem\"", "ede: \(givesReasons ? "yes" : "no")",
                    "module-config: \"validator iterator\"", "domain-insecure: \"plain.test\"",
                ]
                    + self.zones.filter { $0 != "plain.test" }.map { "trust-anchor-file: \"\(path)/\($0).anchor\"" },
                zones: self.zones,
                authority: port("nsd")
            ),
            "dnsmasq.conf": """
            port=\(port("dnsmasq"))
            listen-address=127.0.0.1
            bind-interfaces
            no-resolv
            no-hosts
            server=127.0.0.1#\(port("nsd"))
            pid-file=\(path)/dnsmasq.pid
            user=
            """,
            "authority.pem": TestCertificates.authority, "certificate.pem": TestCertificates.certificate,
            "key.pem": TestCertificates.privateKey,
        ]
        for (name, text) in texts {
            try (text + "\n").write(to: folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
        }
    }
}
