import DNSProtocol
import DNSResolver
import Foundation
import Logging
import MailModel
import TestKit
import Testing

/// dnsmasq without anybody to ask behind it, which knows addresses and refuses the rest: what Docker's 127.0.0.11 looks
/// like when its upstreams are gone.
struct RefusingForwarderTests {
    private func run(_ body: (ResolverChain, DNSSource) async throws -> Void) async throws {
        try await ServerProcess.withFolder { folder in
            let port = try ServerProcess.freePort()
            let text = """
                port=\(port)
                listen-address=127.0.0.1
                bind-interfaces
                no-resolv
                no-hosts
                user=
                pid-file=\(folder.path)/dnsmasq.pid
                host-record=shop.test,192.0.2.1,2001:db8::1

                """
            try text.write(to: folder.appendingPathComponent("dnsmasq.conf"), atomically: true, encoding: .utf8)
            let process = try ServerProcess("dnsmasq", ["-k", "-C", "\(folder.path)/dnsmasq.conf"], in: folder)
            let source = DNSSource.server(.v4(0x7F00_0001), port: port)
            let chain = ResolverChain(
                configuration: ResolverConfiguration(
                    sources: [source],
                    resolvConfPath: "/nonexistent",
                    sourceTimeout: .seconds(10),
                    lookupTimeout: .seconds(30)
                ),
                group: FakeNameServer.group,
                https: nil,
                archive: nil,
                wallTime: { Timestamp(seconds: 1_800_000_000) },
                logger: Logger(label: "test")
            )
            for _ in 0..<200 where process.isRunning {
                if await chain.inspect("shop.test", types: [.a]).first?.result.hasPrefix("NOERROR") == true {
                    break
                }
                try await Task.sleep(for: .milliseconds(20))
            }
            try await body(chain, source)
            await process.kill()
        }
    }

    @Test("it answers A and refuses MX, over each transport")
    func refuses() async throws {
        try await self.run { chain, source in
            let reports = await chain.inspect("shop.test", types: [.mx, .a, .aaaa])
            // Behind the code stand the reasons of the server.
            let codes = reports.map { $0.result.prefix(7) }
            #expect(codes == ["REFUSED", "NOERROR", "NOERROR"])
            #expect(reports.map(\.records) == [[], ["192.0.2.1"], ["2001:db8::1"]])
            let refusals = await chain.legs("shop.test", .mx)
            #expect(refusals.map(\.result) == Array(repeating: .answer(.refused, isTruncated: false), count: 3))
            let answers = await chain.legs("shop.test", .a)
            #expect(answers.map(\.result) == Array(repeating: .answer(.noError, isTruncated: false), count: 3))
            #expect(Set(answers.map(\.source)) == [source.description])
        }
    }
}
