import DNSProtocol
import DNSResolver
import HTTPTransport
import Logging
import MailModel
import NIOCore
import TestKit
import Testing

/// Our resolver against signed zones and a real validator.
struct ValidatingServerTests {
    @Test(
        "what a trusted validator vouches for is secure, what it cannot is not, and a forwarder's word does not count"
    )
    func secure() async throws {
        try await SignedNameServers.run { servers in
            let chain = try servers.chain("unbound")
            let exchangers = await chain.mailExchangers(of: "signed.test")
            #expect(exchangers.isSecure, "\(exchangers)")
            #expect(await chain.addresses(of: "mx1.signed.test").isSecure)
            let associations = await chain.tlsAssociations(of: "_25._tcp.mx1.signed.test")
            #expect(associations.isSecure)
            guard case .records(let records, _) = associations.lookup else {
                Issue.record("\(associations)")
                return
            }
            #expect(records.map(\.description) == ["3 1 1 " + String(repeating: "ab", count: 32)])
            let alias = await chain.addresses(of: "alias.signed.test")
            #expect(alias.isSecure && alias.canonicalName == "mx1.signed.test")
            let nobody = await chain.mailExchangers(of: "nobody.signed.test")
            guard case .noSuchName = nobody.lookup, nobody.isSecure else {
                Issue.record("\(nobody)")
                return
            }
            let plain = await chain.mailExchangers(of: "plain.test")
            #expect(!plain.isSecure && plain.observations.map(\.result) == ["1 record"])
            let forwarded = try await servers.chain("dnsmasq").mailExchangers(of: "signed.test")
            #expect(!forwarded.isSecure)
        }
    }

    private func expectBogus(_ found: Resolution<MailExchanger>, _ zone: String) {
        guard case .unavailable(let why) = found.lookup else {
            Issue.record("\(zone) \(found)")
            return
        }
        #expect(why.description.hasPrefix("DNSSEC bogus ("), "\(why)")
    }

    @Test(
        "wrong signatures are told as bogus, although a server that does not validate has an answer",
        arguments: [true, false]
    )
    func bogus(givesReasons: Bool) async throws {
        try await SignedNameServers.run(givesReasons: givesReasons) { servers in
            for zone in ["expired.test", "forged.test"] {
                let credulous = try await servers.chain("dnsmasq").mailExchangers(of: zone)
                #expect(credulous.observations.map(\.result) == ["1 record"])
                for validator in ["unbound", "tls"] {
                    let chain = try servers.chain(validator, "dnsmasq")
                    _ = await chain.mailExchangers(of: "signed.test")
                    let found = await chain.mailExchangers(of: zone)
                    self.expectBogus(found, zone)
                    let results = found.observations.map(\.result)
                    #expect(
                        results.first?.hasPrefix("SERVFAIL (DNSSEC") == true && results.last == "1 record",
                        "\(results)"
                    )
                }
            }
            // The zone beside them is as good as ever, at the same server.
            let beside = try await servers.chain("unbound", "dnsmasq").mailExchangers(of: "signed.test")
            #expect(beside.isSecure)
        }
    }

    @Test(
        "a validator behind a server that does not validate is asked beside it, and its word counts",
        arguments: [true, false]
    )
    func bogusBeside(givesReasons: Bool) async throws {
        try await SignedNameServers.run(givesReasons: givesReasons) { servers in
            let chain = try servers.chain("dnsmasq", "tls", trustsLoopback: false)
            // Only a source whose validation counts is asked for these, which shows that it does validate.
            #expect(await chain.tlsAssociations(of: "_25._tcp.mx1.signed.test").isSecure)
            for zone in ["expired.test", "forged.test"] {
                let found = await chain.mailExchangers(of: zone)
                self.expectBogus(found, zone)
                let results = found.observations.map(\.result)
                #expect(
                    results.first == "1 record" && results.last?.hasPrefix("SERVFAIL (DNSSEC") == true,
                    "\(results)"
                )
            }
            #expect(await chain.mailExchangers(of: "signed.test").isSecure)
            guard case .records = await chain.mailExchangers(of: "plain.test").lookup else {
                Issue.record("nobody signs plain.test")
                return
            }
            let alone = try servers.chain("dnsmasq", "tls", trustsLoopback: false, confirmers: .none)
            #expect(await alone.tlsAssociations(of: "_25._tcp.mx1.signed.test").isSecure)
            let credulous = await alone.mailExchangers(of: "forged.test")
            #expect(credulous.observations.map(\.result) == ["1 record"], "nobody else is to be asked")
        }
    }

    @Test("DNS over TLS and over HTTPS are spoken as unbound speaks them, and their word that it validated counts")
    func encrypted() async throws {
        try await SignedNameServers.run { servers in
            let http = CurlClient(
                configuration: .init(
                    trustRootsFile: servers.trustRootsFile,
                    allowedNetworks: [CIDRBlock("127.0.0.0/8")].compactMap { $0 }
                ),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            defer { http.shutDown() }
            for name in ["tls", "https"] {
                let chain = try servers.chain(name) { request in
                    let message = HTTPRequest(
                        method: .post,
                        url: request.url,
                        headers: [("Content-Type", "application/dns-message")],
                        body: .bytes(ByteBuffer(bytes: request.body)),
                        connectTimeout: request.timeout,
                        timeout: request.timeout,
                        responseLimit: 65_535
                    )
                    return try await http.send(message, addresses: [request.address]).body
                }
                await withTaskGroup { group in
                    for zone in ["signed.test", "plain.test", "nobody.signed.test"] {
                        group.addTask {
                            let found = await chain.mailExchangers(of: zone)
                            #expect(found.isSecure == zone.hasSuffix("signed.test"), "\(name) \(found)")
                        }
                    }
                }
                let source = try servers.source(name)
                let found = await chain.mailExchangers(of: "expired.test")
                #expect(
                    found.observations.map(\.description).first?
                        .hasPrefix("MX expired.test: \(source) SERVFAIL (DNSSEC") == true,
                    "\(found)"
                )
            }
        }
    }
}
