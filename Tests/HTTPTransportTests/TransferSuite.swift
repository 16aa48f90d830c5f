import Foundation
import HTTPTransport
import Logging
import MailModel
import NIOCore
import TestKit
import Testing

/// What suites of requests to a `FakeHTTPServer` have in common.
protocol TransferSuite {}

extension TransferSuite {
    static var loopback: [IPAddress] { [.v4(0x7F00_0001)] }

    /// Runs a body with a client that trusts the issuer of the server's certificate, and loopback.
    func withClient<Result>(
        trusting roots: String = TestCertificates.authority,
        _ body: (CurlClient) async throws -> Result
    ) async throws -> Result {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("roots-\(UUID().uuidString).pem")
        try roots.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        let client = CurlClient(
            configuration: .init(
                trustRootsFile: file.path,
                allowedNetworks: [CIDRBlock("127.0.0.0/8")].compactMap { $0 }
            ),
            logger: Logger(label: "test")
        )
        defer { client.shutDown() }
        return try await body(client)
    }

    func post(
        _ server: FakeHTTPServer,
        host: String = "smtp.example.test",
        headers: [(name: String, value: String)] = [],
        body: HTTPRequest.Body = .bytes(ByteBuffer(string: "{}")),
        connectTimeout: Duration = .seconds(60),
        timeout: Duration = .seconds(120),
        responseLimit: Int = 65_536
    ) -> HTTPRequest {
        HTTPRequest(
            method: .post,
            url: "https://\(host):\(server.port)/v3/mail/send",
            headers: headers,
            body: body,
            connectTimeout: connectTimeout,
            timeout: timeout,
            responseLimit: responseLimit
        )
    }

    func failure(
        _ client: CurlClient,
        _ request: HTTPRequest,
        addresses: [IPAddress] = Self.loopback
    ) async -> HTTPFailure? {
        do throws(HTTPFailure) {
            _ = try await client.send(request, addresses: addresses)
            return nil
        } catch {
            return error
        }
    }

    func expect(
        _ kind: HTTPFailure.Kind,
        isSent: Bool,
        _ client: CurlClient,
        _ request: HTTPRequest,
        addresses: [IPAddress] = Self.loopback,
        _ location: SourceLocation = #_sourceLocation
    ) async {
        let failure = await self.failure(client, request, addresses: addresses)
        #expect(failure?.kind == kind, "\(String(describing: failure))", sourceLocation: location)
        #expect(failure?.bodySent == isSent, sourceLocation: location)
    }
}
