import DNSProtocol
import DNSResolver
import MailModel
import TestKit
import Testing

/// The validator that is asked beside a server that does not validate.
struct ConfirmationTests {
    private let zone = ResolverFixture.zone
    private static let records = Lookup.records(ResolverFixture.exchangers, timeToLive: .seconds(60))

    private func fixture(_ confirmers: Confirmers = .allBut([])) -> ResolverFixture {
        var fixture = ResolverFixture()
        fixture.configuration.confirmers = confirmers
        return fixture
    }

    private static let address = IPAddress.v4(0x7F00_0002)

    private func source(_ validator: FakeNameServer) -> DNSSource {
        .server(Self.address, port: validator.port)
    }

    private func run(
        _ body: (_ careless: FakeNameServer, _ validator: FakeNameServer) async throws -> Void
    ) async throws {
        try await FakeNameServer.run(zone: self.zone) { careless in
            try await FakeNameServer.run(zone: self.zone, host: "127.0.0.2") { validator in
                validator.authenticate()
                try await body(careless, validator)
            }
        }
    }

    @Test("who validates shows at the root, and is asked beside from then on; it tells what is bogus")
    func examined() async throws {
        try await self.run { careless, validator in
            let chain = self.fixture().chain([ResolverFixture.source(careless), self.source(validator)])
            _ = await chain.text(of: "shop.test")
            #expect(validator.questions.isEmpty, "nobody knows yet that it validates")
            await chain.prepare()
            #expect(careless.questions.last == "udp 2 " && validator.questions == ["udp 2 "])
            #expect(chain.sourceReports().map(\.validates) == [false, true])
            await chain.probe(at: .now + .seconds(120))
            #expect(validator.questions.count == 1, "it is known")

            validator.behave(.fails(because: 6))
            let found = await chain.mailExchangers(of: "shop.test")
            #expect(found.isBogus, "\(found)")
            #expect(found.observations.map(\.result) == ["2 records", "SERVFAIL (DNSSEC bogus)"])
            chain.flush()
            #expect(chain.sourceReports().map(\.validates) == [false, true], "it still does")
            validator.behave(.findsBogus)
            #expect(await chain.mailExchangers(of: "shop.test").isBogus)
        }
    }

    @Test("it is examined again each hour, and after a flush; silence takes nothing from it", arguments: [false, true])
    func examinedAgain(_ isFlushed: Bool) async throws {
        try await self.run { careless, validator in
            for confirmers in [Confirmers.allBut([]), .none] {
                validator.authenticate()
                let chain = self.fixture(confirmers).chain([self.source(validator)])
                _ = await chain.text(of: "shop.test")
                await chain.probe(at: .now)
                #expect(chain.sourceReports().map(\.validates) == [true])
                let start = ContinuousClock.now + (isFlushed ? .zero : .seconds(3_601))
                if isFlushed {
                    chain.flush()
                }
                validator.behave(.code(2))
                await chain.probe(at: start)
                #expect(chain.sourceReports().map(\.validates) == [true], "it said nothing")
                validator.behave(.honest)
                validator.authenticate(false)
                await chain.probe(at: start + .seconds(61))
                #expect(chain.sourceReports().map(\.validates) == [false], "what is behind it is another server now")
            }
        }
    }

    @Test("its answer counts where the operator trusts it")
    func secure() async throws {
        try await self.run { careless, validator in
            var fixture = self.fixture()
            fixture.configuration.trustedAddresses = [Self.address]
            let chain = fixture.chain([ResolverFixture.source(careless), self.source(validator)])
            await chain.probe(at: .now)
            careless.behave(.silent)
            let found = await chain.mailExchangers(of: "shop.test")
            #expect(found.isSecure && found.lookup == Self.records, "at once, however long the head start")
        }
    }

    @Test("nobody is asked beside who may not be, or has just failed")
    func notAsked() async throws {
        try await self.run { careless, validator in
            for confirmers in [Confirmers.none, .allBut([self.source(validator)])] {
                let chain = self.fixture(confirmers).chain([ResolverFixture.source(careless), self.source(validator)])
                await chain.probe(at: .now)
                #expect(await chain.mailExchangers(of: "shop.test").lookup == Self.records)
            }
            #expect(validator.questions.isEmpty)

            let chain = self.fixture().chain([ResolverFixture.source(careless), self.source(validator)])
            await chain.probe(at: .now)
            validator.behave(.code(5))
            #expect(await chain.text(of: "shop.test").observations.first?.result == "1 record")
            try await eventually { chain.sources().map(\.isHealthy) == [true, false] }
            let asked = validator.questions.count
            #expect(await chain.mailExchangers(of: "shop.test").lookup == Self.records)
            #expect(validator.questions.count == asked)
        }
    }

    @Test("one that is slow is waited for, well beyond the head start")
    func waited() async throws {
        try await self.run { careless, validator in
            var fixture = self.fixture()
            fixture.configuration.headStart = .milliseconds(1)
            let chain = fixture.chain([ResolverFixture.source(careless), self.source(validator)])
            await chain.prepare()
            validator.behave(.silent)
            async let found = chain.mailExchangers(of: "shop.test")
            try await eventually { validator.questions.count == 2 }
            // The question is put once more without EDNS, in the second half of the time that a source has.
            validator.behave(.fails(because: 6))
            let outcome = await found
            #expect(outcome.isBogus, "\(outcome)")
        }
    }

    @Test("one that is slow and gives no reason is asked for that, for all the time that sources have")
    func slowWithoutReason() async throws {
        try await self.run { careless, validator in
            var fixture = self.fixture()
            fixture.configuration.sourceTimeout = .milliseconds(1_300)
            fixture.archive = MemoryArchive()
            let chain = fixture.chain([ResolverFixture.source(careless), self.source(validator)])
            await chain.prepare()
            validator.behave(.holdsBack(.findsBogus))
            let outcome = await chain.mailExchangers(of: "shop.test")
            #expect(outcome.isBogus, "\(outcome)")
        }
    }

    /// A chain whose validator has been silent for so long that its answer was not waited for.
    private func late(
        _ careless: FakeNameServer,
        _ validator: FakeNameServer,
        _ recorder: LogRecorder = LogRecorder()
    ) async -> ResolverChain {
        var fixture = self.fixture()
        fixture.configuration.validatorPatience = .milliseconds(10)
        fixture.configuration.trustedAddresses = [Self.address]
        fixture.logger = recorder.logger
        let chain = fixture.chain([ResolverFixture.source(careless), self.source(validator)])
        await chain.probe(at: .now)
        validator.behave(.silent)
        let found = await chain.mailExchangers(of: "shop.test")
        #expect(found.lookup == Self.records && !found.isSecure)
        #expect(found.observations.map(\.result) == ["2 records", "no answer yet"])
        return chain
    }

    @Test("one that is slow holds nobody up; when it calls the name bogus, the next one hears of it")
    func lateBogus() async throws {
        try await self.run { careless, validator in
            let recorder = LogRecorder()
            let chain = await self.late(careless, validator, recorder)
            #expect(await chain.mailExchangers(of: "shop.test").observations.map(\.source) == ["cache"])
            // The question is put once more without EDNS, in the second half of the time that a source has.
            validator.behave(.fails(because: 7))
            try await eventually { recorder.lines.contains { $0.hasPrefix("DNSSEC bogus; not used") } }
            let asked = careless.questions.count
            #expect(await chain.mailExchangers(of: "shop.test").isBogus)
            #expect(careless.questions.count == asked, "it is remembered for a while")
            chain.flush()
            validator.behave(.honest)
            #expect(await chain.mailExchangers(of: "shop.test").lookup == Self.records)
        }
    }

    @Test("when the slow one vouches for the answer, the cached one is secure from then on")
    func lateSecure() async throws {
        try await self.run { careless, validator in
            let chain = await self.late(careless, validator)
            validator.behave(.honest)
            var isSecure = false
            for _ in 0..<500 where !isSecure {
                isSecure = await chain.mailExchangers(of: "shop.test").isSecure
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(isSecure)
            #expect(careless.questions.filter { $0.contains("MX") }.count == 1)
        }
    }
}

extension Resolution {
    fileprivate var isBogus: Bool {
        guard case .unavailable(let why) = self.lookup else {
            return false
        }
        return why.description.hasPrefix("DNSSEC bogus (")
    }
}
