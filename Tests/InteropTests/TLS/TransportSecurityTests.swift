import DNSResolver
import Delivery
import DirectMX
import Foundation
import Logging
import MailModel
import NIOPosix
import SMTPClient
import SQLiteStore
import TestKit
import Testing

import struct DNSProtocol.AddressFilter

/// DANE and MTA-STS, with everything real: a signed zone at nsd, a validating unbound, policies at nginx, mail to Postfix.
@Suite(.serialized, .enabled(if: getuid() == 0, "Postfix can only be started by root"))
struct TransportSecurityTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var testDescription: String { "\(self.domain): \(self.tls ?? self.text)" }
        var domain: String
        /// How the record tells what protected the message; nil: it must not have left.
        var tls: String?
        /// What the failure says.
        var text = ""
        var kind = TLSResult.Kind.success
        var policy = TLSResult.Policy.none
    }

    private static let rows = [
        Row(domain: "good.test", tls: "TLSv1.3 dane", policy: .tlsa),
        Row(domain: "alias.test", tls: "TLSv1.3 dane", policy: .tlsa),
        Row(domain: "anchor.test", tls: "TLSv1.3 dane", policy: .tlsa),
        Row(domain: "second.test", tls: "TLSv1.3 dane", policy: .tlsa),
        Row(domain: "wrong.test", text: "matches no TLSA record", kind: .validationFailure, policy: .tlsa),
        Row(domain: "wrong-name.test", text: "bears another name", kind: .certificateHostMismatch, policy: .tlsa),
        Row(
            domain: "bogus.test",
            text: "whether it has TLSA records cannot be told",
            kind: .dnssecInvalid,
            policy: .tlsa
        ),
        Row(domain: "useless.test", tls: "TLSv1.3 unverified, dane without usable records", policy: .tlsa),
        Row(domain: "bare.test", tls: "TLSv1.3 unverified"),
        Row(domain: "insecure.plain", tls: "TLSv1.3 unverified"),
        Row(domain: "enforced.plain", tls: "TLSv1.3 verified, mta-sts enforce", policy: .sts),
        Row(
            domain: "other-host.plain",
            text: ": not among the hosts of the MTA-STS policy",
            kind: .validationFailure,
            policy: .sts
        ),
        Row(
            domain: "other-name.plain",
            text: "bears another name",
            kind: .certificateHostMismatch,
            policy: .sts
        ),
        Row(
            domain: "tested.plain",
            tls: "TLSv1.3 unverified, mta-sts testing",
            kind: .certificateHostMismatch,
            policy: .sts
        ),
        Row(domain: "bad-web.plain", tls: "TLSv1.3 unverified", kind: .stsWebPKIInvalid, policy: .sts),
    ]

    @Test("deliver what they allow, hold back what they forbid, and count both")
    func appliesPolicies() async throws {
        try await PostfixServer.run(domains: Self.rows.map(\.domain)) { postfix in
            try await SignedZones.run(mailPort: postfix.port, webAddress: PolicyWeb.address) { zones in
                try await PolicyWeb.run { web in
                    try await ServerProcess.withFolder { folder in
                        try await self.apply(postfix, zones, web, folder)
                    }
                }
            }
        }
    }

    private func apply(_ postfix: PostfixServer, _ zones: SignedZones, _ web: PolicyWeb, _ folder: URL) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let path = folder.appendingPathComponent("store").path
        let store = try MessageStore.open(.init(directory: path), logger: logger)
        let client = SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: logger)
        let provider = self.provider(postfix, zones, web, store, client, logger)
        for row in Self.rows {
            let report = await self.attempt(provider, to: "anna@\(row.domain)")
            let outcome = try #require(report.outcomes[0])
            if let tls = row.tls {
                #expect(outcome.failure == nil, "\(row.domain): \(String(describing: outcome.failure))")
                #expect(report.evidence.tls == tls, "\(row.domain)")
                #expect(try await postfix.messages(of: row.domain, count: 1).count == 1)
            } else {
                #expect(outcome.failure?.persistence == .transient, "\(row.domain)")
                #expect(outcome.failure?.text.contains(row.text) == true, "\(row.domain): \(outcome)")
                #expect(!postfix.log.contains("anna@\(row.domain)"))
            }
        }
        await client.shutDown()
        await store.close()
        let history = try HistoryReader(directory: path)
        let counts = try await history.tlsResults(since: 0, limit: 1_000)
        for row in Self.rows {
            let seen = counts.filter { $0.result.domain == row.domain }.map(\.result)
            #expect(seen.contains { $0.kind == row.kind && $0.policy == row.policy }, "\(row.domain): \(seen)")
        }
        history.close()
    }

    @Test("a zone that is signed protects nobody whose resolver is not trusted")
    func untrusted() async throws {
        try await PostfixServer.run(domains: ["wrong.test"]) { postfix in
            try await SignedZones.run(mailPort: postfix.port, webAddress: PolicyWeb.address) { zones in
                let resolution = await zones.resolver(trusts: false).mailExchangers(of: "wrong.test")
                #expect(!resolution.isSecure)
                #expect(await zones.resolver().mailExchangers(of: "wrong.test").isSecure)
            }
        }
    }

    private func provider(
        _ postfix: PostfixServer,
        _ zones: SignedZones,
        _ web: PolicyWeb,
        _ store: MessageStore,
        _ client: SMTPClient,
        _ logger: Logger
    ) -> DirectMXProvider {
        let now = { @Sendable in Timestamp(seconds: 1_800_000_000) }
        let resolver = zones.resolver()
        var configuration = DirectMXConfiguration(heloName: "gateway.example")
        configuration.port = postfix.port
        configuration.addressFilter = AddressFilter(allowed: [CIDRBlock("127.0.0.0/8")].compactMap(\.self))
        configuration.trustRootsFile = postfix.authorityFile
        configuration.security = TransportSecurity(
            usesDANE: true,
            policies: MTASTSPolicies(resolver: resolver, client: web.client, archive: store, now: now),
            clearText: ClearTextMemory(archive: store, now: now),
            archive: store,
            now: now
        )
        return DirectMXProvider(
            name: "direct",
            configuration: configuration,
            resolver: resolver,
            client: client,
            logger: logger
        )
    }

    private func attempt(_ provider: DirectMXProvider, to address: String) async -> AttemptReport {
        await provider.attempt(
            SampleMail.message(),
            to: SampleMail.recipients([address]),
            deadline: .now + .seconds(60),
            beforeCommit: {}
        )
    }
}
