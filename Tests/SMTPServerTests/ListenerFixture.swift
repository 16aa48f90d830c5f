import Logging
import MailModel
import NIOCore
import NIOPosix
import NIOSSL
import SMTPProtocol
import SMTPServer
import Synchronization
import TestKit
import Testing

extension DialogueSocket {
    /// Says everything up to the reply to DATA.
    func begin() async throws {
        _ = try await self.reply()
        try await self.send("EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n")
        for _ in 0..<4 {
            _ = try await self.reply()
        }
    }
}

func makeListener(
    sink: RecordingSink,
    allowed: [CIDRBlock],
    mode: ListenerConfiguration.TLSMode,
    limits: ServerLimits = ServerLimits(),
    bounds: SharedBounds = SharedBounds(),
    auth: SessionPolicy.Authentication = .none,
    authWithoutTLS: Bool = false,
    authenticator: any Authenticator = OneUser(),
    host: String = "127.0.0.1",
    port: Int = 0
) throws -> SMTPListener {
    var tls: NIOSSLContext?
    if mode != .none {
        let folder = try #require(TestCertificate.folder)
        let chain = try NIOSSLCertificate.fromPEMFile("\(folder)/test-only-certificate.pem")
        let key = try NIOSSLPrivateKey(file: "\(folder)/test-only-key.pem", format: .pem)
        let configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        tls = try NIOSSLContext(configuration: configuration)
    }
    let context = tls
    return SMTPListener(
        configuration: ListenerConfiguration(
            name: "test",
            host: host,
            port: port,
            tlsMode: mode,
            authPolicy: auth,
            authWithoutTLS: authWithoutTLS,
            allowedNetworks: allowed,
            limits: limits,
            hostname: "relay.example",
            qualifyDomain: "example.org"
        ),
        group: MultiThreadedEventLoopGroup.singleton,
        tls: { context },
        sink: sink,
        authenticator: authenticator,
        clock: { Timestamp(seconds: 1_795_515_423) },
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
        bounds: bounds
    )
}

func withListener(
    sink: RecordingSink = RecordingSink(),
    allowed: [CIDRBlock] = CIDRBlock.privateNetworks,
    mode: ListenerConfiguration.TLSMode = .none,
    limits: ServerLimits = ServerLimits(),
    bounds: SharedBounds = SharedBounds(),
    auth: SessionPolicy.Authentication = .none,
    authWithoutTLS: Bool = false,
    authenticator: any Authenticator = OneUser(),
    _ body: (RecordingSink, Int) async throws -> Void
) async throws {
    let listener = try makeListener(
        sink: sink,
        allowed: allowed,
        mode: mode,
        limits: limits,
        bounds: bounds,
        auth: auth,
        authWithoutTLS: authWithoutTLS,
        authenticator: authenticator
    )
    try await listener.start()
    do {
        try await body(sink, try #require(listener.port))
    } catch {
        await listener.shutdown(grace: .zero)
        throw error
    }
    await listener.shutdown(grace: .zero)
}

struct OneUser: Authenticator {
    @concurrent
    func authenticate(
        user: String,
        password: String,
        from address: IPAddress,
        isWanted: @escaping @Sendable () -> Bool
    ) async -> AuthenticationResult {
        user == "app" && password == "secret" ? .accepted : .refused
    }
}

/// Keeps every submission and answers each alike.
final class RecordingSink: SubmissionSink {
    private let kept = Mutex<[Submission]>([])
    private let last = Mutex(QueueID(number: 1))
    private let verdict: SubmissionVerdict
    private let spoolError: SpoolError?

    init(verdict: SubmissionVerdict = .accepted, spoolError: SpoolError? = nil) {
        self.verdict = verdict
        self.spoolError = spoolError
    }

    var submissions: [Submission] {
        self.kept.withLock { $0 }
    }

    func nextQueueID() -> QueueID {
        self.last.withLock { last in
            last = last.next
            return last
        }
    }

    func prepareHeader(_ header: ByteBuffer, of transaction: TransactionFacts) -> HeaderVerdict {
        var prepared = ByteBuffer(string: "Received: test\r\n")
        prepared.writeImmutableBuffer(header)
        return .prepared(prepared, messageID: "<test@x.test>", subject: "test")
    }

    func openSpool(for id: QueueID) throws -> any ContentSpool {
        MemorySpool(error: self.spoolError)
    }

    func accept(_ submission: Submission, completion: @escaping @Sendable (SubmissionVerdict) -> Void) {
        self.kept.withLock { $0.append(submission) }
        completion(self.verdict)
    }
}

final class MemorySpool: ContentSpool {
    struct State: Hashable {
        var text = ""
        var isFinished = false
    }

    private let kept = Mutex(State())
    private let error: SpoolError?
    let path = "nowhere"

    init(error: SpoolError?) {
        self.error = error
    }

    var state: State {
        self.kept.withLock { $0 }
    }

    func append(_ bytes: ByteBuffer) throws {
        if let error = self.error {
            throw error
        }
        self.kept.withLock { $0.text += String(buffer: bytes) }
    }

    func finish() throws {
        self.kept.withLock { $0.isFinished = true }
    }

    func discard() {}
}
