import DNSProtocol
import Delivery
import HTTPAPI
import HTTPTransport
import Logging
import MailModel
import Synchronization
import TestKit
import Testing

import struct NIOCore.ByteBuffer

/// Answers requests from a list and keeps them; beyond the list it repeats the last answer.
final class ScriptedHTTPClient: HTTPClient {
    private let answers: [Result<HTTPResponse, HTTPFailure>]
    private let seen = Mutex<[HTTPRequest]>([])

    init(_ answers: [Result<HTTPResponse, HTTPFailure>]) {
        self.answers = answers
    }

    var requests: [HTTPRequest] {
        self.seen.withLock { $0 }
    }

    func send(_ request: HTTPRequest, addresses: [IPAddress]) async throws(HTTPFailure) -> HTTPResponse {
        let count = self.seen.withLock { seen in
            seen.append(request)
            return seen.count
        }
        return try self.answers[min(count, self.answers.count) - 1].get()
    }
}

/// Gives every host the same answer.
struct FixedResolver: Resolver {
    var lookup = Lookup.records([IPAddress.v4(0xC000_0201)], timeToLive: .seconds(60))

    func mailExchangers(of domain: String) async -> Resolution<MailExchanger> {
        Resolution(lookup: .noData(timeToLive: .zero), observations: [])
    }

    func addresses(of host: String) async -> Resolution<IPAddress> {
        let observation = SourceObservation(source: "8.8.8.8", question: "A \(host)", result: "x", elapsed: .zero)
        return Resolution(lookup: self.lookup, observations: [observation], staleAge: .seconds(7_200))
    }

    func text(of name: String) async -> Resolution<String> {
        Resolution(lookup: .noData(timeToLive: .zero), observations: [])
    }

    func tlsAssociations(of name: String) async -> Resolution<TLSAssociation> {
        Resolution(lookup: .noData(timeToLive: .zero), observations: [])
    }
}

/// One attempt with everything scripted, and what came of it.
struct ScriptedAttempt {
    static let key = APIKey("SG.secret-key")
    static let now = Timestamp(seconds: 1_640_032_000)

    var service: any HTTPMailService
    var answers: [Result<HTTPResponse, HTTPFailure>]
    var content = SampleMessages.djangoText
    var messageID = "<1@web>"
    var storage: MessageContent.Storage?
    var parameters = MailParameters()
    var reversePath = ReversePath.mailbox(mailbox("bounce@app.example.com"))
    var recipients = ["user@gmail.com"]
    /// The provider whose answer never came at the attempt before; that of this attempt is called `api`.
    var ambiguousAt: String?
    var deferredSince: Timestamp?
    var resolver = FixedResolver()
    var deadline = Duration.seconds(60)

    /// Makes the attempt; also returns the requests and how often `beforeCommit` was called.
    func run() async -> (report: AttemptReport, requests: [HTTPRequest], commits: Int) {
        let client = ScriptedHTTPClient(self.answers)
        let commits = Counter()
        let provider = HTTPAPIProvider(
            name: "api",
            service: self.service,
            resolver: self.resolver,
            client: client,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            now: { Self.now }
        )
        let report = await provider.attempt(
            self.message,
            to: self.recipients.enumerated().map { number, address in
                Recipient(
                    number: number,
                    forwardPath: .init(mailbox: mailbox(address)),
                    progress: .init(deferredSince: self.deferredSince, ambiguousAt: self.ambiguousAt)
                )
            },
            deadline: .now + self.deadline,
            beforeCommit: { commits.increment() }
        )
        return (report, client.requests, commits.count)
    }

    private var message: QueuedMessage {
        let buffer = ByteBuffer(string: self.content)
        return QueuedMessage(
            id: QueueID(number: 42),
            reversePath: self.reversePath,
            parameters: self.parameters,
            arrivedAt: Self.now,
            expiresAt: Self.now,
            messageID: self.messageID,
            subject: "",
            content: .init(size: buffer.readableBytes, isEightBit: true, storage: self.storage ?? .memory(buffer))
        )
    }
}

func mailbox(_ address: String) -> Mailbox {
    let at = address.lastIndex(of: "@") ?? address.startIndex
    return Mailbox(localPart: String(address[..<at]), domain: MailDomain(String(address[address.index(after: at)...])))
}

final class Counter: Sendable {
    private let value = Mutex(0)

    var count: Int {
        self.value.withLock { $0 }
    }

    func increment() {
        self.value.withLock { $0 += 1 }
    }
}

/// An HTTP response in one line of a table.
func response(
    _ status: Int,
    _ body: String = "",
    headers: [(name: String, value: String)] = []
) -> Result<HTTPResponse, HTTPFailure> {
    .success(HTTPResponse(status: status, headers: headers, body: Array(body.utf8), remoteAddress: "192.0.2.1:443"))
}

/// The octets of a request's body; files stand as `<path>`.
func bodyText(_ request: HTTPRequest) -> String {
    switch request.body {
    case .none: ""
    case .bytes(let buffer): String(buffer: buffer)
    case .pieces(let pieces):
        pieces.map { piece in
            switch piece {
            case .bytes(let buffer): String(buffer: buffer)
            case .file(let path, let size): "<\(path) \(size)>"
            }
        }.joined()
    }
}

/// A row of a service's table: a response and the failure that it means.
struct ResponseRow: Sendable, CustomTestStringConvertible {
    var status: Int
    var body: String = ""
    var headers: [String: String] = [:]
    var persistence: Failure.Persistence
    var scope: Failure.Scope
    var reason: Failure.Reason
    var wait: Duration?
    var isWaitGuessed = false

    var testDescription: String {
        "\(self.status) \(self.body.prefix(60)) \(self.headers)"
    }

    var answer: Result<HTTPResponse, HTTPFailure> {
        response(self.status, self.body, headers: self.headers.map { (name: $0.key, value: $0.value) })
    }
}
