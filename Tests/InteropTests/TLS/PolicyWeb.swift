import Foundation
import HTTPTransport
import Logging
import MailModel
import TestKit

/// A real nginx on port 443 of a loopback address of its own that serves the MTA-STS policies of `plain`.
struct PolicyWeb {
    private static let policies = [
        "enforced": "mode: enforce\nmx: mx.example.test\n", "other-host": "mode: enforce\nmx: *.example.plain\n",
        "other-name": "mode: enforce\nmx: *.example.test\n", "tested": "mode: testing\nmx: *.example.test\n",
        "bad-web": "mode: enforce\nmx: *.example.plain\n",
    ]

    let client: CurlClient

    /// An address of 127/8 that no other run of these tests is likely to use.
    static var address: String {
        let number = UInt32(truncatingIfNeeded: getpid())
        return "127.\(100 + number >> 16 % 100).\(number >> 8 & 255).\(max(2, number & 255))"
    }

    /// Runs the server while the body runs; the client trusts its certificates.
    static func run(_ body: (PolicyWeb) async throws -> Void) async throws {
        try await ServerProcess.withFolder { folder in
            try self.write(in: folder)
            let server = try ServerProcess("nginx", ["-p", folder.path, "-c", "nginx.conf"], in: folder)
            let client = CurlClient(
                configuration: .init(
                    trustRootsFile: folder.appendingPathComponent("authority.pem").path,
                    allowedNetworks: [CIDRBlock("127.0.0.0/8")].compactMap(\.self)
                ),
                logger: Logger(label: "test")
            )
            let result: Result<Void, any Error>
            do {
                try await self.wait(for: server, client, folder)
                result = .success(try await body(PolicyWeb(client: client)))
            } catch {
                result = .failure(error)
            }
            client.shutDown()
            await server.kill()
            try result.get()
        }
    }

    private static func wait(for server: ServerProcess, _ client: CurlClient, _ folder: URL) async throws {
        let probe = HTTPRequest(method: .get, url: "https://mta-sts.enforced.plain/")
        let addresses = [IPAddress(self.address)].compactMap(\.self)
        for _ in 0..<500 where server.isRunning {
            if (try? await client.send(probe, addresses: addresses)) != nil {
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        let log = try? String(contentsOf: folder.appendingPathComponent("nginx.log"), encoding: .utf8)
        throw ServerProcess.Missing(description: "nginx does not listen on \(self.address):443\n\(log ?? "")")
    }

    private static func write(in folder: URL) throws {
        for (domain, policy) in self.policies {
            let site = folder.appendingPathComponent("mta-sts.\(domain).plain/.well-known")
            try FileManager.default.createDirectory(at: site, withIntermediateDirectories: true)
            let text = "version: STSv1\n\(policy)max_age: 86400\n"
            try text.write(to: site.appendingPathComponent("mta-sts.txt"), atomically: true, encoding: .utf8)
        }
        let names = self.policies.keys.filter { $0 != "bad-web" }.map { "DNS:mta-sts.\($0).plain" }.sorted()
        try self.script.replacing("NAMES", with: names.joined(separator: ","))
            .write(to: folder.appendingPathComponent("make"), atomically: true, encoding: .utf8)
        try TLSMaterial.shell(". ./make", in: folder)
        try self.configuration.write(to: folder.appendingPathComponent("nginx.conf"), atomically: true, encoding: .utf8)
    }

    private static let script = """
        openssl ecparam -name prime256v1 -genkey -noout -out authority.key
        openssl req -x509 -new -key authority.key -subj '/CN=Test web root' -days 30 -out authority.pem
        openssl ecparam -name prime256v1 -genkey -noout -out web.key
        openssl req -new -key web.key -subj '/CN=web' -out web.csr
        echo 'subjectAltName=NAMES' > web.ext
        openssl x509 -req -in web.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 30 \\
            -extfile web.ext -out web.pem
        """

    private static var configuration: String {
        """
        daemon off;
        master_process off;
        pid nginx.pid;
        error_log stderr;
        events {}
        http {
          access_log off;
          client_body_temp_path body;
          proxy_temp_path proxy;
          fastcgi_temp_path fastcgi;
          uwsgi_temp_path uwsgi;
          scgi_temp_path scgi;
          default_type text/plain;
          server {
            listen \(self.address):443 ssl;
            ssl_certificate web.pem;
            ssl_certificate_key web.key;
            root $host;
          }
        }
        """
    }
}
