import DNSProtocol
import DNSResolver
import Foundation
import Logging
import MailModel
import TestKit

/// Real name servers in one folder: nsd knows the zone, unbound and dnsmasq ask it.
struct NameServers {
    enum Kind: String, CaseIterable, Sendable {
        case nsd, unbound, dnsmasq
    }

    /// Exchangers of `many.shop.test`, more than fit into a datagram.
    static let many = 100

    private let folder: URL
    private(set) var ports: [Kind: Int] = [:]
    private(set) var processes: [Kind: ServerProcess] = [:]

    /// Starts all three and waits until each of them knows the zone.
    static func run(_ body: (NameServers) async throws -> Void) async throws {
        try await ServerProcess.withFolder { folder in
            var servers = NameServers(folder: folder)
            do {
                for kind in Kind.allCases {
                    servers.ports[kind] = try ServerProcess.freePort()
                    try servers.start(kind)
                    try await servers.wait(for: kind)
                }
                try await body(servers)
            } catch {
                await servers.stop()
                throw error
            }
            await servers.stop()
        }
    }

    func source(_ kind: Kind) -> DNSSource {
        .server(.v4(0x7F00_0001), port: self.ports[kind] ?? 0)
    }

    func chain(_ kinds: Kind...) -> ResolverChain {
        self.chain(kinds)
    }

    func kill(_ kind: Kind) async {
        await self.processes[kind]?.kill()
    }

    private func chain(_ kinds: [Kind]) -> ResolverChain {
        ResolverChain(
            configuration: ResolverConfiguration(
                sources: kinds.map(self.source),
                resolvConfPath: "/nonexistent",
                sourceTimeout: .seconds(10),
                lookupTimeout: .seconds(30),
                headStart: .seconds(10)
            ),
            group: FakeNameServer.group,
            https: nil,
            archive: nil,
            wallTime: { Timestamp(seconds: 1_800_000_000) },
            logger: Logger(label: "test")
        )
    }

    private func stop() async {
        for process in self.processes.values {
            await process.kill()
        }
    }

    private mutating func start(_ kind: Kind) throws {
        let port = self.ports[kind] ?? 0
        let authority = self.ports[.nsd] ?? 0
        let path = self.folder.path
        let text: String
        let arguments: [String]
        switch kind {
        case .nsd:
            try self.write(Self.zone, to: "shop.test.zone")
            text = NSDConfiguration.text(port: port, folder: path, zones: [("shop.test", "shop.test.zone")])
            arguments = ["-d", "-c", "\(path)/nsd.conf"]
        case .unbound:
            text = UnboundConfiguration.text(
                ports: [port],
                folder: path,
                server: ["module-config: iterator", "domain-insecure: \"test\""],
                zones: ["shop.test"],
                authority: authority
            )
            arguments = ["-d", "-c", "\(path)/unbound.conf"]
        case .dnsmasq:
            text = """
                port=\(port)
                listen-address=127.0.0.1
                bind-interfaces
                no-resolv
                no-hosts
                server=127.0.0.1#\(authority)
                pid-file=\(path)/dnsmasq.pid
                user=
                """
            arguments = ["-k", "-C", "\(path)/dnsmasq.conf"]
        }
        try self.write(text + "\n", to: "\(kind.rawValue).conf")
        self.processes[kind] = try ServerProcess(kind.rawValue, arguments, in: self.folder)
    }

    /// Waits until the server answers for the zone; throws its own log when it does not.
    private func wait(for kind: Kind) async throws {
        for _ in 0..<200 where self.processes[kind]?.isRunning == true {
            let resolution = await self.chain([kind]).mailExchangers(of: "shop.test")
            if case .records = resolution.lookup {
                return
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        let log = try? String(contentsOf: self.folder.appendingPathComponent("\(kind.rawValue).log"), encoding: .utf8)
        throw ServerProcess.Missing(description: "\(kind.rawValue) does not answer:\n\(log ?? "")")
    }

    private func write(_ text: String, to name: String) throws {
        try text.write(to: self.folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
    }

    private static let zone = """
        $ORIGIN shop.test.
        $TTL 300
        @ IN SOA ns.shop.test. root.shop.test. 1 3600 600 86400 60
        @ IN NS ns.shop.test.
        ns IN A 127.0.0.1
        @ IN MX 20 mx2.shop.test.
        @ IN MX 10 mx1.shop.test.
        mx1 IN A 192.0.2.1
        mx1 IN AAAA 2001:db8::1
        mx2 IN A 192.0.2.2
        alias IN CNAME shop.test.
        null IN MX 0 .
        bare IN A 192.0.2.3
        \((0..<NameServers.many).map { "many IN MX \($0) exchanger-with-a-long-name-\($0).of.many.shop.test." }
            .joined(separator: "\n"))

        """
}
