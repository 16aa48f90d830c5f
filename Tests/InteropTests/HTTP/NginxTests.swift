import Foundation
import HTTPTransport
import Logging
import MailModel
import NIOCore
import TestKit
import Testing

/// Our HTTP client against a real nginx, for what a script in a test cannot play: HTTP/2.
struct NginxTests {
    private static let loopback: [IPAddress] = [.v4(0x7F00_0001)]

    @Test("HTTP/2 is used where it is offered: many requests share one connection, each body arrives whole")
    func multiplexes() async throws {
        let body = ByteBuffer(bytes: (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) })
        try await FakeHTTPServer.run({ _ in .reply(202, body: "queued") }) { origin in
            try await self.withNginx(before: origin) { client, port in
                let request = self.request(port, "/v3/mail/send", body)
                let responses = await withTaskGroup(of: HTTPResponse?.self) { group in
                    for _ in 0..<40 {
                        group.addTask { try? await client.send(request, addresses: Self.loopback) }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(responses.count { $0?.status == 202 && $0?.protocolVersion == "HTTP/2" } == 40)
                let connections = Set(responses.map { $0?.field("x-connection") })
                #expect(connections.count == 1, "\(connections)")
                let hashes = Set(origin.record.requests.map(\.bodyHash))
                #expect(hashes == [FakeHTTPServer.hash(body.readableBytesView)])
            }
        }
    }

    @Test(
        "a refusal that comes before the body was read is heard at once",
        arguments: [100_000, 1 << 20],
        [413, 403]
    )
    func refusesEarly(_ size: Int, _ status: Int) async throws {
        try await FakeHTTPServer.run({ _ in .reply(403) }) { origin in
            try await self.withNginx(before: origin) { client, port in
                let body = ByteBuffer(repeating: 0x78, count: size)
                let request = self.request(port, status == 413 ? "/refuse" : "/ask", body)
                for _ in 0..<3 {
                    let response = try await client.send(request, addresses: Self.loopback)
                    #expect(response.status == status)
                    #expect(String(decoding: response.body, as: UTF8.self).contains("<h1>\(status) "))
                    #expect(!response.isTruncated)
                    // Not by the timeout, which is twice as long.
                    #expect(response.timings.total < .seconds(30))
                }
            }
        }
    }

    @Test("refusals disturb nobody on the same connection; one that libcurl loses was surely not obeyed")
    func refusesSome() async throws {
        try await FakeHTTPServer.run { origin in
            try await self.withNginx(before: origin) { client, port in
                let body = ByteBuffer(repeating: 0x78, count: 100_000)
                let requests = (0..<40).map { self.request(port, $0 % 2 == 0 ? "/refuse" : "/v3/mail/send", body) }
                let statuses = await withTaskGroup(of: Int.self) { group in
                    for request in requests {
                        group.addTask { await self.status(client, request) }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(statuses.count { $0 == 200 } == 20)
                #expect(statuses.allSatisfy { [200, 413, Self.notObeyed].contains($0) }, "\(statuses)")
            }
        }
    }

    @Test("a request that went out whole over HTTP/2 and was not answered may have been obeyed")
    func unanswered() async throws {
        try await FakeHTTPServer.run({ _ in .hang }) { origin in
            try await self.withNginx(before: origin) { client, port in
                for size in [2, 40_000] {
                    var request = self.request(port, "/v3/mail/send", ByteBuffer(repeating: 0x78, count: size))
                    request.timeout = .seconds(4)
                    #expect(await self.status(client, request) == Self.perhapsObeyed)
                }
            }
        }
    }

    private static let notObeyed = -1
    private static let perhapsObeyed = -2

    /// The status of the response, or whether the server may have obeyed without one.
    private func status(_ client: CurlClient, _ request: HTTPRequest) async -> Int {
        do throws(HTTPFailure) {
            return try await client.send(request, addresses: Self.loopback).status
        } catch {
            return error.bodySent ? Self.perhapsObeyed : Self.notObeyed
        }
    }

    @Test("a large file arrives octet for octet, and is never in memory as a whole", arguments: ["HTTP/2", "HTTP/1.1"])
    func largeUpload(_ version: String) async throws {
        try await FakeHTTPServer.run { origin in
            try await self.withNginx(before: origin, version) { client, port in
                try await ServerProcess.withFolder { folder in
                    let size = 256 << 20
                    let file = try self.file(of: size, in: folder)
                    let before = try self.memory("VmRSS")
                    try "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
                    var request = self.request(port, "/store/\(folder.lastPathComponent)", ByteBuffer())
                    request.body = .pieces([.file(path: file.path, size: size)])
                    let response = try await client.send(request, addresses: Self.loopback)
                    #expect(response.status == 204)
                    #expect(response.protocolVersion == version)
                    // AddressSanitizer keeps freed memory for a while, so that the peak says nothing there.
                    let isKept = ProcessInfo.processInfo.environment["ASAN_OPTIONS"] != nil
                    #expect(try self.memory("VmHWM") - before < size / 2 || isKept)
                    let stored = try #require(response.field("x-stored"))
                    #expect(FileManager.default.contentsEqual(atPath: stored, andPath: file.path))
                }
            }
        }
    }

    /// Octets that change from one mebibyte to the next, with a hole between.
    private func file(of size: Int, in folder: URL) throws -> URL {
        let file = folder.appendingPathComponent("upload")
        let octets = Data((0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
        try octets.write(to: file)
        let handle = try FileHandle(forWritingTo: file)
        try handle.truncate(atOffset: UInt64(size - octets.count))
        try handle.seekToEnd()
        try handle.write(contentsOf: octets)
        try handle.close()
        return file
    }

    /// What the system says of this process, in octets.
    private func memory(_ name: String) throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("\(name):") })
        return try #require(Int(line.filter(\.isNumber))) * 1_024
    }

    private func request(_ port: Int, _ path: String, _ body: ByteBuffer) -> HTTPRequest {
        HTTPRequest(method: .post, url: "https://smtp.example.test:\(port)\(path)", body: .bytes(body))
    }

    private func withNginx(
        before origin: FakeHTTPServer,
        _ version: String = "HTTP/2",
        _ body: (CurlClient, Int) async throws -> Void
    ) async throws {
        try await ServerProcess.withFolder { folder in
            let port = try ServerProcess.freePort()
            try self.configure(port, origin.port, version, in: folder)
            let server = try ServerProcess("nginx", ["-p", folder.path, "-c", "nginx.conf"], in: folder)
            let client = CurlClient(
                configuration: .init(
                    trustRootsFile: folder.appendingPathComponent("authority.pem").path,
                    allowedNetworks: [CIDRBlock("127.0.0.0/8")].compactMap { $0 }
                ),
                logger: Logger(label: "test")
            )
            let result: Result<Void, any Error>
            do {
                let probe = HTTPRequest(method: .get, url: "https://smtp.example.test:\(port)/probe")
                for _ in 0..<500 where server.isRunning {
                    guard (try? await client.send(probe, addresses: Self.loopback)) == nil else {
                        break
                    }
                    try await Task.sleep(for: .milliseconds(20))
                }
                result = .success(try await body(client, port))
            } catch {
                result = .failure(error)
            }
            client.shutDown()
            await server.kill()
            try result.get()
        }
    }

    private func configure(_ port: Int, _ originPort: Int, _ version: String, in folder: URL) throws {
        let text = """
            daemon off;
            master_process off;
            pid nginx.pid;
            error_log error.log;
            events { worker_connections 256; }
            http {
              access_log off;
              client_body_temp_path body;
              proxy_temp_path proxy;
              fastcgi_temp_path fastcgi;
              uwsgi_temp_path uwsgi;
              scgi_temp_path scgi;
              server {
                listen 127.0.0.1:\(port) ssl\(version == "HTTP/2" ? " http2" : "");
                ssl_certificate certificate.pem;
                ssl_certificate_key key.pem;
                location / {
                  add_header X-Connection $connection always;
                  proxy_pass https://127.0.0.1:\(originPort);
                }
                location /refuse {
                  add_header X-Connection $connection always;
                  return 413;
                }
                # Asks another server first, while the client sends as much as its window allows.
                location /ask {
                  auth_request /asked;
                  proxy_pass https://127.0.0.1:\(originPort);
                }
                location = /asked {
                  proxy_pass_request_body off;
                  proxy_set_header Content-Length "";
                  proxy_pass https://127.0.0.1:\(originPort);
                }
                location /store {
                  client_max_body_size 0;
                  client_body_in_file_only on;
                  add_header X-Stored $request_body_file;
                  proxy_pass_request_body off;
                  proxy_set_header Content-Length "";
                  proxy_pass http://unix:\(folder.path)/stored.sock:/;
                }
                location /probe { return 204; }
              }
              server {
                listen unix:\(folder.path)/stored.sock;
                location / { return 204; }
              }
            }

            """
        for (name, text) in [
            "nginx.conf": text, "certificate.pem": TestCertificates.certificate + "\n",
            "key.pem": TestCertificates.privateKey + "\n", "authority.pem": TestCertificates.authority + "\n",
        ] {
            try text.write(to: folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
        }
    }
}

extension HTTPResponse {
    fileprivate func field(_ name: String) -> String? {
        self.headers.first { $0.name.lowercased() == name }?.value
    }
}
