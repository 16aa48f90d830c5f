import FoundationEssentials
import NIOCore
import TestKit
import Testing

@testable import Gateway

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

@Suite("The control socket")
struct ControlServerTests {
    struct BadRequest: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let octets: [UInt8]
        let expected: String
    }

    private static let notUnderstood = "the request is not understood; are the command and the gateway of one version?"

    static let badRequests = [
        BadRequest(testDescription: "an empty line", octets: [0x0A], expected: notUnderstood),
        BadRequest(testDescription: "octets", octets: [0xFF, 0x00, 0x1B, 0x80, 0x0A], expected: notUnderstood),
        BadRequest(testDescription: "no object", octets: Array("[1, 2]\n".utf8), expected: notUnderstood),
        BadRequest(
            testDescription: "deep nesting",
            octets: [UInt8](repeating: UInt8(ascii: "["), count: 15_000) + [0x0A],
            expected: notUnderstood
        ),
        BadRequest(
            testDescription: "an unknown verb",
            octets: Array("{\"verb\":\"explode\"}\n".utf8),
            expected: notUnderstood
        ),
        BadRequest(testDescription: "no verb", octets: Array("{\"subject\":\"ALL\"}\n".utf8), expected: notUnderstood),
        BadRequest(
            testDescription: "a subject of another type",
            octets: Array("{\"verb\":\"delete\",\"subject\":7}\n".utf8),
            expected: notUnderstood
        ),
        BadRequest(
            testDescription: "a line that does not end",
            octets: [UInt8](repeating: UInt8(ascii: "x"), count: 40_000),
            expected: "the request is longer than 16384 octets"
        ),
        BadRequest(
            testDescription: "a line that ends too late",
            octets: Array("{\"verb\":\"status\",\"subject\":\"".utf8)
                + [UInt8](repeating: UInt8(ascii: "x"), count: 20_000) + Array("\"}\n".utf8),
            expected: "the request is longer than 16384 octets"
        ),
        BadRequest(
            testDescription: "a DNS name that is none",
            octets: Array("{\"verb\":\"dnsLookup\",\"subject\":\"a..b\"}\n".utf8),
            expected: "\"a..b\" is no domain"
        ),
        BadRequest(
            testDescription: "a message to take over that is not there",
            octets: Array("{\"verb\":\"takeOver\"}\n".utf8),
            expected: "the message is not understood; are the command and the gateway of one version?"
        ),
        BadRequest(
            testDescription: "a message to take over that is larger than any",
            octets: Array("{\"verb\":\"takeOver\",\"envelopeLength\":2,\"contentLength\":999999999999}\n".utf8),
            expected: "the message is larger than 167772160 octets"
        ),
        BadRequest(
            testDescription: "a message to take over whose length is less than nothing",
            octets: Array("{\"verb\":\"takeOver\",\"envelopeLength\":-1}\n".utf8),
            expected: "the message is larger than 167772160 octets"
        ),
    ]

    @Test("whatever is sent is answered with an error that says so, and the gateway lives on", arguments: badRequests)
    func answersNonsense(_ request: BadRequest) async throws {
        try await self.withGateway { gateway in
            let answer = try await ControlConnection.exchange(request.octets, with: gateway.folder.socket)
            let reply = try JSONDecoder().decode(ControlReply.self, from: Data(answer))
            #expect(reply.error == request.expected)
            #expect(answer.last == 0x0A)
            #expect(try await gateway.ask(.status).status != nil)
        }
    }

    @Test("half a line and a close is forgotten, and does nothing")
    func forgetsHalfALine() async throws {
        try await self.withGateway { gateway in
            let half = Array("{\"verb\":\"status\"".utf8)
            let answer = try await ControlConnection.exchange(half, closing: true, with: gateway.folder.socket)
            #expect(answer.isEmpty)
            #expect(try await gateway.ask(.status).status != nil)
        }
    }

    @Test("whether it is alive is answered in a few octets, and an answer over the limit is called that")
    func answersShortly() async throws {
        try await self.withGateway { gateway in
            let socket = gateway.folder.socket
            let reply = try await ControlClient.send(ControlRequest(.health), to: socket, limit: 64)
            #expect(reply.error == nil)
            await #expect(throws: StartupFailure("the gateway's answer is longer than 64 octets")) {
                try await ControlClient.send(ControlRequest(.status), to: socket, limit: 64)
            }
        }
    }

    @Test("a request in many pieces is one request")
    func joinsPieces() async throws {
        try await self.withGateway { gateway in
            let pieces = Array("{\"verb\":\"status\"}\n".utf8).map { [$0] }
            let answer = try await ControlConnection.exchange(pieces, with: gateway.folder.socket)
            #expect(try JSONDecoder().decode(ControlReply.self, from: Data(answer)).status != nil)
        }
    }

    @Test("two commands in one breath: the first is answered, the second is not obeyed")
    func answersOnce() async throws {
        try await self.withGateway { gateway in
            let octets = Array("{\"verb\":\"status\"}\n{\"verb\":\"status\"}\n".utf8)
            let answer = try await ControlConnection.exchange(octets, with: gateway.folder.socket)
            #expect(answer.filter { $0 == 0x0A }.count == 1)
        }
    }

    @Test("a client that says nothing keeps nobody else waiting, and many are answered at once")
    func answersManyAtOnce() async throws {
        try await self.withGateway { gateway in
            let idle = try await ControlConnection.connect(
                to: gateway.folder.socket,
                Collector(ControlConnection.promise())
            )
            let answered = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<20 {
                    group.addTask { try await gateway.ask(.status).status != nil }
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(answered == 20)
            #expect(idle.isActive)
            try await idle.close()
        }
    }

    @Test("only the owner can reach it, and it is gone after the stop")
    func isPrivate() async throws {
        let folder = try GatewayFolder()
        try await self.withGateway(folder) { _ in
            let modes = try ["", "/hikyaku.sock", "/hikyaku.db", "/hikyaku.lock"].map {
                try Self.mode(folder.data + $0)
            }
            #expect(modes == [0o700, 0o600, 0o600, 0o600])
        }
        await #expect(throws: ControlClient.NotRunning.self) {
            try await ControlClient.send(ControlRequest(.status), to: folder.socket)
        }
    }

    @Test("a socket that a killed gateway left behind is replaced")
    func replacesAStaleSocket() async throws {
        let folder = try GatewayFolder()
        try await self.withGateway(folder) { _ in }
        let stale = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: folder.socket.utf8) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(stale, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        close(stale)
        try await self.withGateway(folder) { gateway in
            let reply = try await gateway.ask(.status)
            #expect(reply.status != nil)
        }
    }

    @Test("without a gateway the command says how to start one")
    func saysThatNobodyRuns() async {
        let error = await #expect(throws: ControlClient.NotRunning.self) {
            try await ControlClient.send(ControlRequest(.status), to: "/nowhere/hikyaku.sock")
        }
        #expect(
            error?.description
                == "no gateway is running with this data directory (/nowhere/hikyaku.sock); start it with `hikyaku serve`"
        )
    }

    @Test("only where nothing is, or nobody listens, no gateway runs; who may not ask is told who may")
    func tellsWhy() {
        for code in [ENOENT, ENOTDIR, ECONNREFUSED] {
            #expect(ControlClient.failure(code, "/nowhere/hikyaku.sock") is ControlClient.NotRunning)
        }
        for code in [EACCES, EPERM] {
            let error = ControlClient.failure(code, "/hikyaku.sock")
            #expect(error is ControlClient.Denied)
            #expect("\(error)" == "permission denied on /hikyaku.sock: run this as the gateway's user (uid 0)")
        }
        let error = ControlClient.failure(EMFILE, "/hikyaku.sock")
        #expect("\(error)" == "cannot ask the gateway on /hikyaku.sock: Too many open files")
    }

    private func withGateway(
        _ folder: GatewayFolder? = nil,
        _ body: (RunningGateway) async throws -> Void
    ) async throws {
        try await (folder ?? GatewayFolder()).run("chain: [direct]\n", body)
    }

    private static func mode(_ path: String) throws -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw NeverHappened(description: "there is no \(path)")
        }
        return Int(status.st_mode & 0o777)
    }
}
