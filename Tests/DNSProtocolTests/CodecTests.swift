import DNSProtocol
import MailModel
import Testing

@Suite("The DNS codec")
struct CodecTests {
    /// A response to `MX gmail.test` with one MX record whose host is compressed, and its question.
    static let response: [UInt8] =
        [0x12, 0x34, 0x81, 0xA0, 0, 1, 0, 1, 0, 0, 0, 0]
        + [5] + Array("gmail".utf8) + [4] + Array("test".utf8) + [0, 0, 15, 0, 1]
        + [0xC0, 12, 0, 15, 0, 1, 0, 0, 1, 0x2C, 0, 7, 0, 5, 2] + Array("mx".utf8) + [0xC0, 12]

    @Test("reads a response with compressed names")
    func decodes() throws {
        let message = try MessageDecoder.decode(Self.response)
        #expect(message.id == 0x1234)
        #expect(message.isAuthenticated)
        let host = try #require(DomainName("mx.gmail.test"))
        #expect(message.answers.map(\.data) == [.mailExchanger(preference: 5, host)])
        #expect(message.answers.first?.timeToLive == 300)
    }

    @Test("reads a TLSA record as zone files write it, and refuses one without data (RFC 6698 §2.1)")
    func decodesAssociations() throws {
        func response(_ data: [UInt8]) -> [UInt8] {
            [0, 7, 0x81, 0xA0, 0, 1, 0, 1, 0, 0, 0, 0, 2] + Array("mx".utf8) + [0, 0, 52, 0, 1]
                + [0xC0, 12, 0, 52, 0, 1, 0, 0, 1, 0x2C, 0, UInt8(data.count)] + data
        }
        let message = try MessageDecoder.decode(response([3, 1, 1, 0xAB, 0x0C]))
        #expect(message.answers.map(\.data.description) == ["3 1 1 ab0c"])
        #expect(throws: DNSFormatError.badRecord(.tlsa)) { try MessageDecoder.decode(response([3, 1, 1])) }
    }

    @Test("what is encoded decodes to the same question", arguments: ["gmail.com", "a.b.c.d.example", "x", "."])
    func roundTrips(_ text: String) throws {
        let name = try #require(DomainName(text))
        for edns in [false, true] {
            let bytes = QueryEncoder.encode(Question(.mx, name), id: 7, .init(edns: edns))
            let message = try MessageDecoder.decode(bytes)
            #expect(message.questions == [Question(.mx, name)])
            #expect(message.hasEDNS == edns)
        }
    }

    @Test(
        "refuses names that cannot be",
        arguments: ["a..b", String(repeating: "a", count: 64), "bücher.example", "a b", ".a", "a\\25"]
    )
    func refusesNames(_ text: String) {
        #expect(DomainName(text) == nil)
    }

    @Test("a compression pointer that does not go backwards is refused, not followed for ever")
    func refusesLoops() {
        for target in [12, 13, 28, 200] as [UInt8] {
            var bytes = Self.response
            bytes[28] = 0xC0
            bytes[29] = target
            if target != 12 {
                #expect(throws: DNSFormatError.self) { try MessageDecoder.decode(bytes) }
            }
        }
        let selfPointer: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1]
        #expect(throws: DNSFormatError.badName) { try MessageDecoder.decode(selfPointer) }
    }

    @Test("no truncation and no mutation of a message traps", arguments: 1...40)
    func neverTraps(_ seed: UInt64) {
        var random = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        func next(_ bound: Int) -> Int {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return Int(random % UInt64(bound))
        }
        for length in 0..<Self.response.count {
            _ = try? MessageDecoder.decode(Array(Self.response.prefix(length)))
        }
        for _ in 0..<500 {
            var bytes = Self.response + (0..<next(60)).map { _ in UInt8(next(256)) }
            for _ in 0...next(8) {
                bytes[next(bytes.count)] = UInt8(next(256))
            }
            _ = try? MessageDecoder.decode(bytes)
        }
    }
}

@Suite("What a response means")
struct InterpretationTests {
    private let question = DomainName("gmail.test").map { Question(.mx, $0) }

    private func read(_ change: (inout DNSMessage) -> Void, id: UInt16 = 0x1234) throws -> Interpretation? {
        var message = try MessageDecoder.decode(CodecTests.response)
        change(&message)
        return Interpretation(message, to: try #require(self.question), id: id, sentEDNS: true)
    }

    @Test("a forged answer is no answer: other id, other question, not a response")
    func ignoresForgeries() throws {
        #expect(try self.read({ _ in }, id: 1) == nil)
        #expect(try self.read { $0.isResponse = false } == nil)
        let other = try #require(DomainName("other.test"))
        #expect(try self.read { $0.questions = [Question(.mx, other)] } == nil)
        #expect(try self.read { $0.questions[0].type = .a } == nil)
    }

    @Test(
        "a negative answer lives as its SOA says, within bounds (RFC 2308 §5)",
        arguments: [(60, 120, 60), (120, 60, 60), (86_400, 86_400, 300), (0, 60, 0)] as [(UInt32, UInt32, UInt32)]
    )
    func negativeLifetime(_ timeToLive: UInt32, _ minimum: UInt32, _ expected: UInt32) throws {
        let zone = try #require(DomainName("test"))
        let soa = ResourceRecord(
            name: zone,
            type: .soa,
            timeToLive: timeToLive,
            data: .startOfAuthority(minimum: minimum)
        )
        for code in [ResponseCode.noError, .noSuchName] {
            let meaning = try self.read { message in
                message.code = code
                message.answers = []
                message.authorities = [soa]
            }
            #expect(
                meaning == (code == .noError ? .noData(timeToLive: expected) : .noSuchName(timeToLive: expected))
            )
        }
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let code: ResponseCode
        var hasAnswers = false
        var isTruncated = false
        var errors: [UInt16] = []
        let expected: Interpretation
    }

    @Test(
        "tells the ways of not answering apart",
        arguments: [
            Row(testDescription: "SERVFAIL", code: .serverFailure, expected: .failed(.code(.serverFailure))),
            Row(
                testDescription: "SERVFAIL of a validator",
                code: .serverFailure,
                errors: [0, 22, 7],
                expected: .failed(.code(.serverFailure, ExtendedError(rawValue: 7)))
            ),
            Row(
                testDescription: "a filter",
                code: .noSuchName,
                errors: [17],
                expected: .failed(.code(.noSuchName, ExtendedError(rawValue: 17)))
            ),
            Row(testDescription: "REFUSED", code: .refused, expected: .failed(.code(.refused))),
            Row(testDescription: "FORMERR to EDNS", code: .formatError, expected: .rejectsEDNS),
            Row(testDescription: "NXDOMAIN", code: .noSuchName, expected: .noSuchName(timeToLive: 30)),
            Row(testDescription: "NODATA", code: .noError, expected: .noData(timeToLive: 30)),
            Row(testDescription: "truncated", code: .noError, isTruncated: true, expected: .truncated),
        ]
    )
    func interprets(_ row: Row) throws {
        let meaning = try self.read { message in
            message.code = row.code
            message.isTruncated = row.isTruncated
            message.extendedErrors = row.errors.map(ExtendedError.init)
            if !row.hasAnswers {
                message.answers = []
            }
        }
        #expect(meaning == row.expected)
    }
}

@Suite("DNS sources and resolv.conf")
struct SourceTests {
    @Test(
        "reads the forms that operators write",
        arguments: [
            ("system", "system"), ("8.8.8.8", "8.8.8.8"), ("8.8.8.8:5353", "8.8.8.8:5353"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"), ("2001:db8::1", "2001:db8::1"),
            ("tls://1.1.1.1", "tls://1.1.1.1"), ("tls://1.1.1.1@1.1.1.1:853", "tls://1.1.1.1"),
            ("tls://dns.google@8.8.8.8", "tls://dns.google@8.8.8.8"),
            ("TLS://dns.example@[2001:db8::1]:8853", "tls://dns.example@[2001:db8::1]:8853"),
            ("https://1.1.1.1/dns-query", "https://1.1.1.1/dns-query"),
            ("https://dns.google@8.8.8.8/dns-query", "https://dns.google@8.8.8.8/dns-query"),
        ]
    )
    func reads(_ text: String, _ expected: String) throws {
        #expect(try DNSSource(text).description == expected)
    }

    @Test(
        "says what is wrong with the rest",
        arguments: [
            "", "8.8.8", "https://dns.google/dns-query", "1.1.1.1:0", "[::1", "tls://dns.google", "tls://@1.1.1.1",
            "tls://8.8.8.8@1.1.1.1",
        ]
    )
    func refuses(_ text: String) {
        #expect(throws: DNSSourceError.self) { try DNSSource(text) }
    }

    @Test("the public resolvers are two operators, each plain and over HTTPS")
    func publicResolvers() {
        #expect(
            PublicResolvers.sources.map(\.description) == [
                "8.8.8.8", "1.1.1.1", "https://dns.google@8.8.8.8/dns-query", "https://1.1.1.1/dns-query",
            ]
        )
        #expect(PublicResolvers.sources.map(\.witness) == ["Google", "Cloudflare", "Google", "Cloudflare"])
        #expect(!PublicResolvers.sources.contains { !$0.isPublic })
    }

    @Test(
        "what one server says over several transports is one word, and another port another server",
        arguments: [
            ("192.0.2.1", "tls://dns.example@192.0.2.1", true),
            ("192.0.2.1", "https://192.0.2.1/dns-query", true),
            ("8.8.8.8", "tls://dns.google@8.8.4.4", true), ("127.0.0.1", "::1", true),
            ("192.0.2.1", "192.0.2.2", false), ("192.0.2.1", "192.0.2.1:5353", false),
            ("127.0.0.1", "127.0.0.11", false),
        ]
    )
    func witnesses(_ one: String, _ other: String, _ areOne: Bool) throws {
        let (first, second) = (try DNSSource(one), try DNSSource(other))
        #expect((first.witness == second.witness) == areOne)
        #expect(first.isPublic == one.hasPrefix("8."))
    }

    @Test(
        "the servers of one resolv.conf are one party, unless their operators are known",
        arguments: [
            ("10.0.0.53", "system"), ("10.0.0.54", "system"), ("tls://10.0.0.54", "system"), ("127.0.0.54", "system"),
            ("8.8.4.4", "Google"), ("https://1.1.1.1/dns-query", "Cloudflare"),
            ("10.0.0.53:5353", "10.0.0.53 port 5353"), ("10.0.0.55", "10.0.0.55"),
        ]
    )
    func parties(_ text: String, _ party: String) throws {
        let system = ["10.0.0.53", "10.0.0.54", "127.0.0.53", "8.8.8.8"].compactMap { IPAddress($0) }
        #expect(try DNSSource(text).party(besides: system) == party)
    }

    @Test("takes the servers of resolv.conf and nothing else")
    func readsResolvConf() {
        let text =
            "# ExtServers: [8.8.8.8]\nnameserver 127.0.0.11\nsearch .\noptions edns0\nnameserver fe80::1%eth0\nnameserver x\n"
        #expect(ResolvConf(text).servers.map(\.description) == ["127.0.0.11", "fe80::1"])
        #expect(ResolvConf("").servers.isEmpty)
    }
}
