import DNSProtocol
import Delivery
import DirectMX
import Logging
import MailModel
import NIOPosix
import SMTPClient
import TestKit
import Testing

@Suite("Hosts that keep silent")
struct SilentHostTests {
    private static let resolver = ScriptedResolver(
        exchangers: ["example.com": .exchangers("mx1.example.com", "mx2.example.com")],
        addresses: ["mx1.example.com": .hosts("127.0.0.2"), "mx2.example.com": .hosts("127.0.0.1")]
    )

    private func provider(
        port: Int,
        resolver: ScriptedResolver = Self.resolver,
        patience: Duration = .milliseconds(500),
        greeting: Duration = .seconds(20)
    ) -> DirectMXProvider {
        var configuration = DirectMXConfiguration(heloName: "gateway.example")
        configuration.port = port
        configuration.addressFilter = AddressFilter(allowed: ["127.0.0.0/8", "::1/128"].compactMap { CIDRBlock($0) })
        configuration.patience = patience
        configuration.timeouts.connect = patience * 2
        configuration.timeouts.greeting = greeting
        let logger = Logger(label: "test")
        return DirectMXProvider(
            name: "direct",
            configuration: configuration,
            resolver: resolver,
            client: SMTPClient(group: MultiThreadedEventLoopGroup.singleton, logger: logger),
            logger: logger
        )
    }

    private func attempt(_ provider: DirectMXProvider, to recipient: String = "a@example.com") async -> AttemptReport {
        await provider.attempt(
            SampleMail.message(),
            to: SampleMail.recipients([recipient]),
            deadline: .now + .seconds(20),
            beforeCommit: {}
        )
    }

    @Test("firstExchangerSilent: the next host is asked soon, the silent one is passed by, and tried again when told")
    func silentHost() async throws {
        try await FakeExchanger.run { exchanger in
            try await SilentListener.run(lastOctet: 2, port: exchanger.port) { _ in
                let provider = self.provider(port: exchanger.port)
                let first = await self.attempt(provider)
                #expect(first.outcomes[0]?.failure == nil)
                #expect(first.evidence.abandonedHosts.map { $0.hasSuffix("timed out") } == [true])
                let second = await self.attempt(provider)
                #expect(second.outcomes[0]?.failure == nil)
                #expect(second.evidence.abandonedHosts.map { $0.contains("kept silent") } == [true])
                provider.forget()
                let third = await self.attempt(provider)
                #expect(third.evidence.abandonedHosts.map { $0.hasSuffix("timed out") } == [true])
            }
            #expect(exchanger.record.messages.count == 3)
        }
    }

    @Test("firstExchangerMute: one that accepts connections and never greets is passed by the next time, too")
    func muteHost() async throws {
        try await FakeExchanger.run { exchanger in
            var script = FakeExchangerScript()
            script.always[.greeting] = .hang
            try await FakeExchanger.run(script, address: "127.0.0.2", port: exchanger.port) { mute in
                let provider = self.provider(port: exchanger.port, greeting: .seconds(2))
                for _ in 0..<2 {
                    #expect(await self.attempt(provider).outcomes[0]?.failure == nil)
                }
                #expect(mute.record.connections == 1)
            }
        }
    }

    @Test("when all hosts are known to be silent, nobody waits for them again")
    func allSilent() async throws {
        try await SilentListener.run { first in
            try await SilentListener.run(lastOctet: 2, port: first.port) { _ in
                let provider = self.provider(port: first.port)
                _ = await self.attempt(provider)
                let failure = try #require(await self.attempt(provider).outcomes[0]?.failure)
                #expect(failure.reason == .connectionFailed)
                #expect(failure.scope == .destination)
                #expect(failure.text.contains("kept silent"))
            }
        }
    }

    @Test("a family over which nothing answers is held against direct delivery only where no other is left to try")
    func deadFamily() async throws {
        let names = ["one.test", "two.test", "three.test", "both.test", "four.test"]
        let resolver = ScriptedResolver(
            exchangers: Dictionary(uniqueKeysWithValues: names.map { ($0, .exchangers("mx.\($0)")) }),
            addresses: [
                "mx.one.test": .hosts("127.1.0.1"), "mx.two.test": .hosts("127.2.0.1"),
                "mx.three.test": .hosts("127.3.0.1"), "mx.both.test": .hosts("127.4.0.1", "::1"),
                "mx.four.test": .hosts("127.4.0.1"),
            ]
        )
        try await SilentListener.run(lastOctet: 0x01_0001) { first in
            try await SilentListener.run(lastOctet: 0x02_0001, port: first.port) { _ in
                try await SilentListener.run(lastOctet: 0x03_0001, port: first.port) { _ in
                    let provider = self.provider(port: first.port, resolver: resolver)
                    for name in names.prefix(3) {
                        let silent = try #require(await self.attempt(provider, to: "a@\(name)").outcomes[0]?.failure)
                        #expect(silent.scope == .destination, "\(silent)")
                    }
                    let refused = try #require(await self.attempt(provider, to: "a@both.test").outcomes[0]?.failure)
                    #expect(refused.scope == .destination && refused.text.contains("[::1]"), "\(refused)")
                    let closed = try #require(await self.attempt(provider, to: "a@four.test").outcomes[0]?.failure)
                    #expect(closed.scope == .provider && closed.text.contains("outbound port 25"), "\(closed)")
                }
            }
        }
    }
}
