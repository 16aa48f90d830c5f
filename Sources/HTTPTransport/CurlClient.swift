import CCurl
package import Logging
package import MailModel
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Makes HTTPS requests on libcurl's multi interface, on one thread of its own.
///
/// Names are never resolved here: the caller hands addresses over, so that API calls need no other resolver than mail does.
package final class CurlClient: HTTPClient {
    package struct Configuration: Sendable {
        /// Sent as `User-Agent`; some APIs refuse requests without one.
        package var userAgent: String
        /// A PEM file of trust roots in place of libcurl's own.
        package var trustRootsFile: String?
        /// Networks that may be connected to although they are loopback, private or reserved.
        package var allowedNetworks: [CIDRBlock]
        /// Accepts `http` URLs; for tests.
        package var allowsClearText: Bool
        /// Connections that are kept open in all.
        package var connections: Int

        package init(
            userAgent: String = "Hikyaku",
            trustRootsFile: String? = nil,
            allowedNetworks: [CIDRBlock] = [],
            allowsClearText: Bool = false,
            connections: Int = 64
        ) {
            self.userAgent = userAgent
            self.trustRootsFile = trustRootsFile
            self.allowedNetworks = allowedNetworks
            self.allowsClearText = allowsClearText
            self.connections = connections
        }
    }

    private let configuration: Configuration
    private let loop: CurlLoop

    /// Starts the thread.
    package init(configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.loop = CurlLoop(connections: configuration.connections, logger: logger)
        self.loop.start()
    }

    package func send(_ request: HTTPRequest, addresses: [IPAddress]) async throws(HTTPFailure) -> HTTPResponse {
        let target = try URLTarget(request.url, allowsClearText: self.configuration.allowsClearText)
        let usable = (target.literal.map { [$0] } ?? addresses).filter(self.isAllowed)
        guard !usable.isEmpty else {
            throw HTTPFailure(
                kind: addresses.isEmpty && target.literal == nil ? .resolve : .prohibited,
                bodySent: false,
                description: addresses.isEmpty && target.literal == nil
                    ? "no address of \(target.host) is known"
                    : "\(target.host) has only addresses that must not be connected to"
            )
        }
        let transfer = Transfer(request, target, usable, self.configuration)
        let loop = self.loop
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                transfer.onCompletion { continuation.resume(returning: $0) }
                loop.add(transfer)
            }
        } onCancel: {
            loop.cancel(transfer)
        }
        return try result.get()
    }

    /// Ends all transfers and joins the thread.
    package func shutDown() {
        self.loop.stop()
    }

    private func isAllowed(_ address: IPAddress) -> Bool {
        if self.configuration.allowedNetworks.contains(where: { $0.contains(address) }) {
            return true
        }
        return !Self.prohibited.contains { $0.contains(address) }
    }

    /// Where no API of a mail service stands, but perhaps something that must not be talked to.
    private static let prohibited: [CIDRBlock] =
        CIDRBlock.privateNetworks
        + [
            "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/128", "2001:db8::/32", "ff00::/8",
        ].compactMap { CIDRBlock($0) }
}

/// The parts of a URL that decide where a request goes.
struct URLTarget: Sendable {
    let host: String
    let port: Int
    let literal: IPAddress?

    init(_ url: String, allowsClearText: Bool) throws(HTTPFailure) {
        let isSecure = url.hasPrefix("https://")
        guard isSecure || (allowsClearText && url.hasPrefix("http://")),
            url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            throw HTTPFailure(kind: .invalidRequest, bodySent: false, description: "only https URLs are requested")
        }
        let authority = url.dropFirst(isSecure ? 8 : 7).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let nameEnd =
            authority.hasPrefix("[")
            ? authority.firstIndex(of: "]").map { authority.index(after: $0) } : authority.firstIndex(of: ":")
        let name = authority[..<(nameEnd ?? authority.endIndex)]
        let suffix = authority[name.endIndex...]
        let port = suffix.isEmpty ? (isSecure ? 443 : 80) : Int(suffix.dropFirst())
        guard !name.isEmpty, !authority.contains("@"), let port, (1...65_535).contains(port) else {
            throw HTTPFailure(kind: .invalidRequest, bodySent: false, description: "the URL has no usable host")
        }
        self.host = name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : String(name)
        self.port = port
        self.literal = IPAddress(self.host)
    }
}
