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

    @Test("a refusal that comes before the body was read is heard")
    func refusesEarly() async throws {
        try await FakeHTTPServer.run { origin in
            try await self.withNginx(before: origin) { client, port in
                var request = self.request(port, "/refuse", ByteBuffer(repeating: 0x78, count: 1 << 20))
                request.timeout = .seconds(2)
                let response = try await client.send(request, addresses: Self.loopback)
                #expect(response.status == 413)
            }
        }
    }

    private func request(_ port: Int, _ path: String, _ body: ByteBuffer) -> HTTPRequest {
        HTTPRequest(method: .post, url: "https://smtp.example.test:\(port)\(path)", body: .bytes(body))
    }

    private func withNginx(
        before origin: FakeHTTPServer,
        _ body: (CurlClient, Int) async throws -> Void
    ) async throws {
        try await ServerProcess.withFolder { folder in
            let port = try ServerProcess.freePort()
            try self.configure(port, origin.port, in: folder)
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

    private func configure(_ port: Int, _ originPort: Int, in folder: URL) throws {
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
                listen 127.0.0.1:\(port) ssl http2;
                ssl_certificate certificate.pem;
                ssl_certificate_key key.pem;
                location / {
                  add_header X-Connection $connection always;
                  proxy_pass https://127.0.0.1:\(originPort);
                }
                location /refuse { return 413; }
                location /probe { return 204; }
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
