import Foundation
import HTTPTransport
import Logging
import MailModel
import NIOCore
import TestKit
import Testing

/// Requests over real TLS to a server that errs as it is told.
struct TransferTests: TransferSuite {
    @Test("a request goes to the address that it was given, over verified TLS, and its answer comes back whole")
    func exchange() async throws {
        let answer = FakeHTTPServer.Answer.reply(202, headers: ["X-Message-Id: abc", "x-rate:  7 "], body: "queued")
        try await FakeHTTPServer.run({ _ in answer }) { server in
            try await self.withClient { client in
                let request = self.post(server, headers: [("Authorization", "Bearer SG.x"), ("X-Empty", "")])
                // No resolver of the system knows this name.
                let response = try await client.send(request, addresses: Self.loopback)
                #expect(response.status == 202)
                #expect(String(decoding: response.body, as: UTF8.self) == "queued")
                #expect(!response.isTruncated)
                #expect(response.headers.contains { $0 == ("X-Message-Id", "abc") })
                #expect(response.headers.contains { $0 == ("x-rate", "7") })
                #expect(response.remoteAddress == "127.0.0.1:\(server.port)")
                #expect(response.protocolVersion == "HTTP/1.1")
                let head = server.record.requests[0].head
                #expect(head.first == "POST /v3/mail/send HTTP/1.1")
                #expect(head.contains("Host: smtp.example.test:\(server.port)"))
                #expect(head.contains("Authorization: Bearer SG.x"))
                #expect(head.contains("User-Agent: Hikyaku"))
                #expect(!head.contains { $0.lowercased().hasPrefix("expect:") })
            }
        }
    }

    @Test("a connection is used again, and a dead one is replaced without anybody noticing")
    func reuse() async throws {
        try await FakeHTTPServer.run({ $0 == 3 ? .close : .reply(200) }) { server in
            try await self.withClient { client in
                for _ in 0..<3 {
                    _ = try await client.send(self.post(server), addresses: Self.loopback)
                }
                #expect(server.record.connections == 1)
                _ = try? await client.send(self.post(server), addresses: Self.loopback)
                let response = try await client.send(self.post(server), addresses: Self.loopback)
                #expect(response.status == 200)
                #expect(server.record.connections == 2 || server.record.connections == 3)
            }
        }
    }

    @Test("on a kept connection that dies, a request that is sent once is not sent again; another one is, unnoticed")
    func repetition() async throws {
        try await FakeHTTPServer.run({ $0 == 1 || $0 == 4 ? .close : .reply(200) }) { server in
            try await self.withClient { client in
                var once = self.post(server)
                once.isSentOnce = true
                _ = try await client.send(once, addresses: Self.loopback)
                await self.expect(.connectionLost, isSent: true, client, once)
                #expect(server.record.requests.count == 2)

                _ = try await client.send(once, addresses: Self.loopback)
                _ = try await client.send(self.post(server), addresses: Self.loopback)
                let response = try await client.send(self.post(server), addresses: Self.loopback)
                #expect(response.status == 200)
                #expect(server.record.requests.count == 6)
            }
        }
    }

    @Test("a request that is sent once goes out again where the connection died before the server had it whole")
    func earlyRepetition() async throws {
        let large = HTTPRequest.Body.bytes(ByteBuffer(repeating: 0x78, count: 20 << 20))
        try await FakeHTTPServer.run({ $0 == 1 ? .closeInRequest : .reply(200) }) { server in
            try await self.withClient { client in
                _ = try await client.send(self.post(server), addresses: Self.loopback)
                var once = self.post(server, body: large)
                once.isSentOnce = true
                do throws(HTTPFailure) {
                    let response = try await client.send(once, addresses: Self.loopback)
                    #expect(response.status == 200)
                } catch {
                    // Whether libcurl notices an end or a broken pipe is a race; nothing was obeyed in either case.
                    #expect(!error.bodySent)
                }
            }
        }
    }

    @Test("many requests run side by side")
    func concurrent() async throws {
        try await FakeHTTPServer.run { server in
            try await self.withClient { client in
                let good = await withTaskGroup(of: Bool.self) { group in
                    for _ in 0..<100 {
                        group.addTask {
                            (try? await client.send(self.post(server), addresses: Self.loopback))?.status == 200
                        }
                    }
                    return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(good == 100)
                #expect(server.record.requests.count == 100)
            }
        }
    }

    @Test("a certificate of an unknown issuer, or for another name, is refused before anything is said")
    func certificates() async throws {
        try await FakeHTTPServer.run { server in
            let folder = try #require(TestCertificate.folder)
            let stranger = try String(contentsOfFile: "\(folder)/test-only-certificate.pem", encoding: .utf8)
            try await self.withClient(trusting: stranger) { client in
                await self.expect(.tls, isSent: false, client, self.post(server))
            }
            try await self.withClient { client in
                await self.expect(.tls, isSent: false, client, self.post(server, host: "other.example.test"))
            }
            #expect(server.record.requests.isEmpty)
        }
    }

    struct Break: Sendable, CustomTestStringConvertible {
        var answer: FakeHTTPServer.Answer
        var kind: HTTPFailure.Kind
        var timeout = Duration.seconds(60)
        var testDescription: String { "\(self.answer)" }
    }

    @Test(
        "every way an exchange can break has its name, and a request that went out whole may have been obeyed",
        arguments: [
            Break(answer: .hang, kind: .timeout, timeout: .seconds(4)),
            Break(answer: .hangInBody, kind: .timeout, timeout: .seconds(4)),
            Break(answer: .close, kind: .connectionLost), Break(answer: .closeInBody, kind: .connectionLost),
            Break(answer: .resetInBody, kind: .connectionLost),
            Break(answer: .endlessHeader, kind: .responseTooLarge),
            Break(answer: .endlessBody, kind: .responseTooLarge),
        ]
    )
    func breaks(_ row: Break) async throws {
        try await FakeHTTPServer.run({ _ in row.answer }) { server in
            try await self.withClient { client in
                await self.expect(row.kind, isSent: true, client, self.post(server, timeout: row.timeout))
            }
        }
    }

    @Test("a request that did not go out whole was not obeyed")
    func brokenRequest() async throws {
        try await FakeHTTPServer.run({ _ in .closeInRequest }) { server in
            try await self.withClient { client in
                let large = ByteBuffer(repeating: 0x78, count: 20 << 20)
                do throws(HTTPFailure) {
                    let request = self.post(server, body: .bytes(large))
                    _ = try await client.send(request, addresses: Self.loopback)
                    Issue.record("the request was answered")
                } catch {
                    #expect([.send, .connectionLost].contains(error.kind), "\(error)")
                    #expect(!error.bodySent)
                }
            }
        }
    }

    @Test("nobody listens: it cannot connect; several addresses are tried")
    func connecting() async throws {
        try await FakeHTTPServer.run { server in
            try await self.withClient { client in
                let dead: [IPAddress] = [.v4(0x7F00_0909)]
                await self.expect(.connect, isSent: false, client, self.post(server), addresses: dead)
                let response = try await client.send(self.post(server), addresses: dead + Self.loopback)
                #expect(response.status == 200)
            }
        }
    }

    @Test("a long response is cut at its limit, and said to be")
    func longResponse() async throws {
        let body = String(repeating: "0123456789", count: 1_000)
        try await FakeHTTPServer.run({ _ in .reply(400, body: body) }) { server in
            try await self.withClient { client in
                let request = self.post(server, responseLimit: 25)
                let response = try await client.send(request, addresses: Self.loopback)
                #expect(String(decoding: response.body, as: UTF8.self) == "0123456789012345678901234")
                #expect(response.isTruncated)
            }
        }
    }

    @Test("a redirect is an answer and is not followed")
    func redirect() async throws {
        try await FakeHTTPServer.run({ _ in .reply(302, headers: ["Location: /elsewhere"]) }) { server in
            try await self.withClient { client in
                let response = try await client.send(self.post(server), addresses: Self.loopback)
                #expect(response.status == 302)
                #expect(server.record.requests.count == 1)
            }
        }
    }

    @Test("a body of pieces and files arrives whole, and a file that has shrunk is noticed")
    func uploads() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("upload-\(UUID().uuidString)")
        let octets = Data((0..<(5 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
        try octets.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try await FakeHTTPServer.run { server in
            try await self.withClient { client in
                let pieces: [HTTPRequest.Piece] = [
                    .bytes(ByteBuffer(string: "--b\r\n")), .file(path: file.path, size: octets.count),
                    .bytes(ByteBuffer(string: "\r\n--b--\r\n")),
                ]
                let request = self.post(server, body: .pieces(pieces))
                let response = try await client.send(request, addresses: Self.loopback)
                #expect(response.status == 200)
                let whole = Array("--b\r\n".utf8) + octets + Array("\r\n--b--\r\n".utf8)
                #expect(server.record.requests[0].bodySize == whole.count)
                #expect(server.record.requests[0].bodyHash == FakeHTTPServer.hash(whole))

                let short = self.post(server, body: .pieces([.file(path: file.path, size: octets.count + 1)]))
                await self.expect(.unreadable, isSent: false, client, short)
                let missing = self.post(server, body: .pieces([.file(path: file.path + "x", size: 1)]))
                await self.expect(.unreadable, isSent: false, client, missing)
            }
        }
    }

    @Test("a line end in a header value never reaches the wire")
    func headerInjection() async throws {
        try await FakeHTTPServer.run { server in
            try await self.withClient { client in
                let request = self.post(server, headers: [("X-Evil", "a\r\nX-Injected: b")])
                await self.expect(.invalidRequest, isSent: false, client, request)
                #expect(server.record.requests.isEmpty)
            }
        }
    }

    @Test("a cancelled request ends at once, and so do those that run when the client is shut down")
    func cancelling() async throws {
        try await FakeHTTPServer.run({ _ in .hang }) { server in
            try await self.withClient { client in
                let task = Task { await self.failure(client, self.post(server, timeout: .seconds(600))) }
                while server.record.requests.isEmpty {
                    try await Task.sleep(for: .milliseconds(5))
                }
                task.cancel()
                #expect(await task.value?.kind == .cancelled)

                let other = Task { await self.failure(client, self.post(server, timeout: .seconds(600))) }
                while server.record.requests.count < 2 {
                    try await Task.sleep(for: .milliseconds(5))
                }
                client.shutDown()
                #expect(await other.value?.kind == .cancelled)
            }
        }
    }
}
