import Foundation
import HTTPTransport
import Logging
import MailModel
import NIOCore
import NIOPosix
import TestKit
import Testing

/// What a request may never do: wait for ever, ask other resolvers, leave something behind, tell a secret.
struct TransferSafetyTests: TransferSuite {
    @Test("a server that is silent in TLS is given up at the limit for connections, not at that of the call")
    func silentHandshake() async throws {
        let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = silent.localAddress?.port ?? 0
        try await self.withClient { client in
            let request = HTTPRequest(
                method: .get,
                url: "https://smtp.example.test:\(port)/",
                connectTimeout: .milliseconds(500),
                timeout: .seconds(600)
            )
            let failure = await self.failure(client, request)
            #expect(failure?.kind == .connect)
            #expect(failure?.bodySent == false)
            #expect(failure?.remoteAddress == "127.0.0.1:\(port)")
        }
        try await silent.close()
    }

    @Test("a server that says yes before it has the body may have obeyed, whatever comes then")
    func acceptedEarly() async throws {
        let large = HTTPRequest.Body.bytes(ByteBuffer(repeating: 0x78, count: 20 << 20))
        try await FakeHTTPServer.run({ $0 == 0 ? .reply(200) : .acceptInRequest(isWhole: false) }) { server in
            try await self.withClient { client in
                // Connects, so that the time below is all for the exchange.
                _ = try await client.send(self.post(server), addresses: Self.loopback)
                await self.expect(.timeout, isSent: true, client, self.post(server, body: large, timeout: .seconds(4)))
            }
        }
        try await FakeHTTPServer.run({ $0 == 0 ? .reply(200) : .acceptInRequest(isWhole: true) }) { server in
            try await self.withClient { client in
                // Connects, so that the time below is all for the exchange.
                _ = try await client.send(self.post(server), addresses: Self.loopback)
                let request = self.post(server, body: large, timeout: .seconds(4))
                let response = try await client.send(request, addresses: Self.loopback)
                #expect(response.status == 202)
                #expect(!response.isTruncated)
            }
        }
    }

    @Test("a name that the system knows leads where we say, and without an address nowhere")
    func ownNames() async throws {
        try await FakeHTTPServer.run { server in
            try await self.withClient { client in
                let request = self.post(server, host: "localhost")
                let nobody: [IPAddress] = [.v4(0x7F00_0909)]
                await self.expect(.connect, isSent: false, client, request, addresses: nobody)
                await self.expect(.resolve, isSent: false, client, request, addresses: [])
                #expect(server.record.connections == 0)
            }
        }
    }

    @Test("each request goes to the addresses it came with, whatever an earlier one was told of the name")
    func movedName() async throws {
        try await FakeHTTPServer.run({ _ in .reply(200, headers: ["Connection: close"]) }) { first in
            try await FakeHTTPServer.run(host: "127.0.0.2", port: first.port) { second in
                try await self.withClient { client in
                    _ = try await client.send(self.post(first), addresses: Self.loopback)
                    let response = try await client.send(self.post(first), addresses: [.v4(0x7F00_0002)])
                    #expect(response.remoteAddress == "127.0.0.2:\(first.port)")
                    #expect(first.record.requests.count == 1 && second.record.requests.count == 1)
                }
            }
        }
    }

    @Test("a cancelled upload closes its connection and its file")
    func freed() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("upload-\(UUID().uuidString)")
        try Data(count: 20 << 20).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try await FakeHTTPServer.run({ _ in .stopReading }) { server in
            try await self.withClient { client in
                let body = HTTPRequest.Body.pieces([.file(path: file.path, size: 20 << 20)])
                let task = Task { await self.failure(client, self.post(server, body: body, timeout: .seconds(600))) }
                try await self.wait { !server.record.requests.isEmpty && self.isOpen(file) }
                task.cancel()
                let failure = await task.value
                #expect(failure?.kind == .cancelled)
                #expect(failure?.bodySent == false)
                #expect(!self.isOpen(file))
            }
        }
        try await FakeHTTPServer.run({ _ in .hang }) { server in
            try await self.withClient { client in
                let task = Task { await self.failure(client, self.post(server, timeout: .seconds(600))) }
                try await self.wait { !server.record.requests.isEmpty }
                task.cancel()
                #expect(await task.value?.bodySent == true)
                // The client lives on: it is the transfer that let go.
                try await self.wait { server.record.closedConnections == 1 }
            }
        }
    }

    @Test("a task that is cancelled already makes no request")
    func cancelledBefore() async throws {
        try await FakeHTTPServer.run { server in
            try await self.withClient { client in
                for _ in 0..<200 {
                    let task = Task {
                        withUnsafeCurrentTask { $0?.cancel() }
                        return await self.failure(client, self.post(server))
                    }
                    #expect(await task.value?.kind == .cancelled)
                }
                #expect(server.record.requests.isEmpty)
            }
        }
    }

    @Test("a client that was shut down refuses, as often as it is asked and told")
    func afterShutDown() async throws {
        try await FakeHTTPServer.run { server in
            try await self.withClient { client in
                client.shutDown()
                client.shutDown()
                await self.expect(.cancelled, isSent: false, client, self.post(server))
                let task = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    return await self.failure(client, self.post(server))
                }
                #expect(await task.value?.kind == .cancelled)
                #expect(server.record.connections == 0)
            }
        }
    }

    @Test("no failure tells the credentials of its request")
    func secrets() async throws {
        let answers: [FakeHTTPServer.Answer] = [.close, .closeInBody, .endlessHeader, .endlessBody]
        try await FakeHTTPServer.run({ answers[min($0, 3)] }) { server in
            try await self.withClient { client in
                let secret = [("Authorization", "Bearer SG.secret")]
                var requests = answers.map { _ in self.post(server, headers: secret) }
                requests.append(self.post(server, host: "other.example.test", headers: secret))
                requests.append(self.post(server, headers: [("Authorization", "Bearer SG.secret\r\nX: y")]))
                requests.append(self.post(server, headers: [("Authorization: Bearer SG.secret\r\nX", "y")]))
                requests.append(self.post(server, host: "app:SG.secret@smtp.example.test"))
                for request in requests {
                    let failure = try #require(await self.failure(client, request))
                    #expect(!String(reflecting: failure).contains("SG.secret"))
                }
                #expect(server.record.requests.count == answers.count)
            }
        }
    }

    /// Waits for what must come, up to half a minute.
    private func wait(_ condition: () -> Bool, _ location: SourceLocation = #_sourceLocation) async throws {
        for _ in 0..<3_000 where !condition() {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(condition(), sourceLocation: location)
    }

    /// Whether this process has the file open.
    private func isOpen(_ file: URL) -> Bool {
        let open = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return open.contains {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)"))?
                .hasSuffix(file.lastPathComponent) ?? false
        }
    }
}
