import DNSProtocol
import DNSResolver
import Logging
import MailModel
import Synchronization
import TestKit
import Testing

/// Resolvers in front of fake servers; waits that a good server keeps on a busy machine, and that tests can bear.
struct ResolverFixture {
    static let zone: [String: [FakeNameServer.Record]] = [
        "MX shop.test": [.exchanger(10, "mx1.shop.test"), .exchanger(20, "mx2.shop.test")],
        "A mx1.shop.test": [.address(0x7F00_0001)],
        "TXT shop.test": [.text("v=spf1 -all")],
    ]
    static let exchangers = [
        MailExchanger(preference: 10, host: "mx1.shop.test"), MailExchanger(preference: 20, host: "mx2.shop.test"),
    ]

    var configuration = ResolverConfiguration(
        sources: [],
        resolvConfPath: "/nonexistent/resolv.conf",
        sourceTimeout: .seconds(3),
        lookupTimeout: .seconds(40),
        headStart: .seconds(20),
        validatorPatience: .seconds(20),
        trustsLoopback: false
    )
    var archive: MemoryArchive?
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let now = Timestamp(seconds: 1_800_000_000)

    static func source(_ server: FakeNameServer) -> DNSSource {
        .server(.v4(0x7F00_0001), port: server.port)
    }

    /// A port of loopback on which nobody listens.
    static func closedPort() async throws -> DNSSource {
        try await FakeNameServer.run { self.source($0) }
    }

    func chain(_ sources: [DNSSource], https: DNSOverHTTPSTransport? = nil) -> ResolverChain {
        var configuration = self.configuration
        configuration.sources = sources
        return ResolverChain(
            configuration: configuration,
            group: FakeNameServer.group,
            https: https,
            archive: self.archive,
            wallTime: { Self.now },
            logger: self.logger
        )
    }

    func chain(_ servers: FakeNameServer...) -> ResolverChain {
        self.chain(servers.map(Self.source))
    }
}

/// Keeps answers in memory.
final class MemoryArchive: AnswerArchive {
    private let answers = Mutex<[String: ArchivedAnswer]>([:])

    func remember(_ answer: ArchivedAnswer) {
        self.answers.withLock { $0[answer.question] = answer }
    }

    func forget(_ question: String) {
        self.answers.withLock { $0[question] = nil }
    }

    func recall(_ question: String) async -> ArchivedAnswer? {
        self.answers.withLock { $0[question] }
    }

    func age(by duration: Duration) {
        self.answers.withLock { answers in
            answers = answers.mapValues { answer in
                var aged = answer
                aged.receivedAt = answer.receivedAt + (.zero - duration)
                return aged
            }
        }
    }
}

extension Resolution {
    /// `source result` of each observation, sources numbered in the order given.
    func story(_ servers: FakeNameServer...) -> [String] {
        let names = Dictionary(uniqueKeysWithValues: servers.enumerated().map { ("127.0.0.1:\($1.port)", "\($0 + 1)") })
        return self.observations.map { "\(names[$0.source] ?? $0.source) \($0.result)" }
    }
}

/// Keeps what is logged: the message, then its metadata in the order of their names.
final class LogRecorder: Sendable {
    private let kept = Mutex<[String]>([])

    var lines: [String] { self.kept.withLock { $0 } }
    var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.notice

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let values = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            self.recorder.kept.withLock { $0.append("\(event.message)\(values.joined())") }
        }
    }
}
