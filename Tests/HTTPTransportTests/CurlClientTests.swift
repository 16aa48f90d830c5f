import HTTPTransport
import Logging
import MailModel
import Testing

@Suite("Requests that must not be made")
struct CurlClientTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let url: String
        var addresses: [String] = []
        let expected: HTTPFailure.Kind
    }

    @Test(
        "are refused before any socket opens",
        arguments: [
            Row(testDescription: "clear text", url: "http://api.example.com/", expected: .invalidRequest),
            Row(testDescription: "a file", url: "file:///etc/passwd", expected: .invalidRequest),
            Row(testDescription: "gopher", url: "gopher://127.0.0.1:25/", expected: .invalidRequest),
            Row(testDescription: "a user name", url: "https://a@b.example/", expected: .invalidRequest),
            Row(testDescription: "the metadata service", url: "https://169.254.169.254/", expected: .prohibited),
            Row(testDescription: "a literal loopback address", url: "https://127.0.0.1:25/", expected: .prohibited),
            Row(testDescription: "IPv6 loopback", url: "https://[::1]/", expected: .prohibited),
            Row(
                testDescription: "a name that leads inside",
                url: "https://api.example.com/",
                addresses: ["10.0.0.1", "::ffff:127.0.0.1"],
                expected: .prohibited
            ),
            Row(testDescription: "a name without address", url: "https://api.example.com/", expected: .resolve),
        ]
    )
    func refuses(_ row: Row) async throws {
        let client = CurlClient(configuration: .init(), logger: Logger(label: "test"))
        defer { client.shutDown() }
        let request = HTTPRequest(method: .get, url: row.url)
        do throws(HTTPFailure) {
            _ = try await client.send(request, addresses: row.addresses.compactMap(IPAddress.init))
            Issue.record("the request was made")
        } catch {
            #expect(error.kind == row.expected)
            #expect(!error.bodySent)
        }
    }
}
