import Foundation
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

/// Our listener against swaks, a client that others wrote.
struct SwaksTests {
    @Test("swaks hands over a message in clear text, over STARTTLS and over implicit TLS, with PIPELINING and without")
    func delivers() async throws {
        for (number, mode) in [ListenerConfiguration.TLSMode.none, .starttls, .implicit].enumerated() {
            for pipelining in [["--pipeline"], []] {
                try await self.withListener(mode) { sink, port, folder in
                    let tls: [String] = [[], ["--tls"], ["--tls-on-connect"]][number]
                    let transcript = try await self.swaks(tls + pipelining, port: port, in: folder)
                    #expect(transcript.status == 0, "\(transcript.text)")
                    let submission = try #require(sink.submissions.first, "\(transcript.text)")
                    #expect(sink.submissions.count == 1)
                    #expect("\(submission.envelope.reversePath)".contains("app@shop.test"))
                    #expect(submission.envelope.forwardPaths.count == 2)
                    let content = submission.content.text
                    #expect(content.hasSuffix("\r\n\r\n.dot\r\n..dots\r\nGrüße\r\n"), "\(content)")
                    #expect((submission.client.tlsDescription != nil) == (mode != .none))
                    #expect(submission.client.isExtended)
                }
            }
        }
    }

    @Test("swaks verifies our certificate when it is asked to, by issuer and name")
    func verifiedCertificate() async throws {
        try await self.withListener(.starttls) { sink, port, folder in
            let authority = folder.appendingPathComponent("authority.pem").path
            let good = ["--tls", "--tls-verify", "--tls-ca-path", authority, "--tls-sni", "mx.example.test"]
            let transcript = try await self.swaks(good, port: port, in: folder)
            #expect(transcript.status == 0, "\(transcript.text)")
            #expect(sink.submissions.count == 1)
        }
    }

    @Test("swaks logs in with PLAIN and LOGIN over TLS; a wrong password is refused; no other mechanism is offered")
    func logsIn() async throws {
        try await self.withListener(.starttls, authentication: .required) { sink, port, folder in
            for mechanism in ["PLAIN", "LOGIN"] {
                let login = ["--tls", "--auth", mechanism, "--auth-user", "app", "--auth-password"]
                let transcript = try await self.swaks(login + ["secret"], port: port, in: folder)
                #expect(transcript.status == 0, "\(transcript.text)")
                #expect(sink.submissions.last?.client.user == "app")
                let refused = try await self.swaks(login + ["wrong"], port: port, in: folder)
                #expect(refused.status == SwaksStatus.authentication, "\(refused.text)")
                #expect(refused.text.contains("535 5.7.8"), "\(refused.text)")
            }
            #expect(sink.submissions.count == 2)
            let other = ["--tls", "--auth", "CRAM-MD5", "--auth-user", "app", "--auth-password", "secret"]
            let unknown = try await self.swaks(other, port: port, in: folder)
            #expect(unknown.status == SwaksStatus.authentication, "\(unknown.text)")
            #expect(unknown.text.contains("250-AUTH PLAIN LOGIN"), "\(unknown.text)")
            #expect(!unknown.text.contains("> AUTH"), "\(unknown.text)")
            // In clear text AUTH is not offered at all, and mail is not taken without.
            let clear = ["--auth", "PLAIN", "--auth-user", "app", "--auth-password", "secret"]
            let transcript = try await self.swaks(clear, port: port, in: folder)
            #expect(transcript.status == SwaksStatus.authentication, "\(transcript.text)")
            #expect(!transcript.text.contains("-AUTH"), "\(transcript.text)")
            #expect(sink.submissions.count == 2)
        }
    }

    /// What swaks says with its exit status.
    private enum SwaksStatus {
        static let authentication: Int32 = 28
    }

    private func swaks(
        _ arguments: [String],
        port: Int,
        in folder: URL
    ) async throws -> (status: Int32, text: String) {
        let body = folder.appendingPathComponent("body.txt")
        // It puts the last line end there itself.
        let message = "From: app@shop.test\nSubject: swaks\n\n.dot\n..dots\nGrüße"
        try message.write(to: body, atomically: true, encoding: .utf8)
        let common = [
            "--server", "127.0.0.1:\(port)", "--helo", "client.test", "--from", "app@shop.test",
            "--to", "anna@example.test,ben@example.test", "--data", "@\(body.path)", "--timeout", "30",
        ]
        let log = "swaks-\(UUID().uuidString)"
        let command = try ServerProcess("swaks", common + arguments, in: folder, log: log)
        let status = try await command.exitStatus()
        let text = try String(contentsOf: folder.appendingPathComponent("\(log).log"), encoding: .utf8)
        return (status, text)
    }

    private func withListener(
        _ mode: ListenerConfiguration.TLSMode,
        authentication: SessionPolicy.Authentication = .none,
        _ body: (SwaksSink, Int, URL) async throws -> Void
    ) async throws {
        try await ServerProcess.withFolder { folder in
            try TestCertificates.authority.write(
                to: folder.appendingPathComponent("authority.pem"),
                atomically: true,
                encoding: .utf8
            )
            let sink = SwaksSink()
            let listener = try self.listener(mode, authentication, sink)
            try await listener.start()
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(sink, try #require(listener.port), folder))
            } catch {
                result = .failure(error)
            }
            await listener.shutdown(grace: .zero)
            try result.get()
        }
    }

    private func listener(
        _ mode: ListenerConfiguration.TLSMode,
        _ authentication: SessionPolicy.Authentication,
        _ sink: SwaksSink
    ) throws -> SMTPListener {
        let certificate = try NIOSSLCertificate(bytes: Array(TestCertificates.certificate.utf8), format: .pem)
        let key = try NIOSSLPrivateKey(bytes: Array(TestCertificates.privateKey.utf8), format: .pem)
        let context = try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(certificate)],
                privateKey: .privateKey(key)
            )
        )
        return SMTPListener(
            configuration: ListenerConfiguration(
                name: "test",
                host: "127.0.0.1",
                port: 0,
                tlsMode: mode,
                authPolicy: authentication,
                allowedNetworks: authentication == .none ? CIDRBlock.privateNetworks : [],
                hostname: "mx.example.test",
                qualifyDomain: "example.test"
            ),
            group: MultiThreadedEventLoopGroup.singleton,
            tls: { context },
            sink: sink,
            authenticator: SwaksUser(),
            clock: { Timestamp(seconds: 1_795_515_423) },
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
    }
}

private struct SwaksUser: Authenticator {
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

/// Keeps every submission.
private final class SwaksSink: SubmissionSink {
    private let kept = Mutex<[Submission]>([])
    private let last = Mutex(QueueID(number: 1))

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
        .prepared(header, messageID: "<test@x.test>", subject: "test")
    }

    func openSpool(for id: QueueID) throws -> any ContentSpool {
        throw SpoolError.failed
    }

    func accept(_ submission: Submission, completion: @escaping @Sendable (SubmissionVerdict) -> Void) {
        self.kept.withLock { $0.append(submission) }
        completion(.accepted)
    }
}

extension SubmissionContent {
    fileprivate var text: String {
        guard case .memory(let buffer) = self else {
            return ""
        }
        return String(buffer: buffer)
    }
}
