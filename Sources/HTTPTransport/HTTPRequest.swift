package import MailModel

package import struct NIOCore.ByteBuffer

/// One request to an HTTP API, with every limit that its transfer has to keep.
package struct HTTPRequest: Sendable {
    package enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
    }

    package enum Body: Sendable {
        case none
        case bytes(ByteBuffer)
        case pieces([Piece])
    }

    /// A piece of a streamed body: bytes, or a whole file.
    package enum Piece: Sendable {
        case bytes(ByteBuffer)
        case file(path: String, size: Int)
    }

    package var method: Method
    /// `https://host[:port]/path`.
    package var url: String
    package var headers: [(name: String, value: String)]
    package var body: Body
    package var connectTimeout: Duration
    /// The longest that the whole call may take.
    package var timeout: Duration
    /// Octets of the response body that are kept; the rest is discarded up to 1 MiB, then the transfer ends.
    package var responseLimit: Int
    /// Never sent a second time once the server may have all of it, not even on a new connection in the place of one that died.
    package var isSentOnce = false

    package init(
        method: Method,
        url: String,
        headers: [(name: String, value: String)] = [],
        body: Body = .none,
        connectTimeout: Duration = .seconds(10),
        timeout: Duration = .seconds(60),
        responseLimit: Int = 65_536
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.connectTimeout = connectTimeout
        self.timeout = timeout
        self.responseLimit = responseLimit
    }
}

/// What a server answered to one request.
package struct HTTPResponse: Sendable {
    package var status: Int
    package var headers: [(name: String, value: String)]
    /// At most `responseLimit` octets.
    package var body: [UInt8]
    /// Whether the body was longer than what was kept.
    package var isTruncated: Bool
    /// Address and port of the server: `203.0.113.5:443`.
    package var remoteAddress: String?
    package var timings: HTTPTimings
    /// `HTTP/1.1`, `HTTP/2`.
    package var protocolVersion: String

    package init(
        status: Int,
        headers: [(name: String, value: String)] = [],
        body: [UInt8] = [],
        isTruncated: Bool = false,
        remoteAddress: String? = nil,
        timings: HTTPTimings = .init(),
        protocolVersion: String = "HTTP/1.1"
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        self.isTruncated = isTruncated
        self.remoteAddress = remoteAddress
        self.timings = timings
        self.protocolVersion = protocolVersion
    }
}

/// How long a transfer took, each from its start to the end of the stage.
package struct HTTPTimings: Sendable {
    package var resolve, connect, tls, firstByte, total: Duration

    package init(
        resolve: Duration = .zero,
        connect: Duration = .zero,
        tls: Duration = .zero,
        firstByte: Duration = .zero,
        total: Duration = .zero
    ) {
        self.resolve = resolve
        self.connect = connect
        self.tls = tls
        self.firstByte = firstByte
        self.total = total
    }
}

/// Why no response came; `bodySent` tells whether the request may have been acted on.
package struct HTTPFailure: Error, Sendable {
    package enum Kind: String, Sendable {
        case resolve, connect, tls, send, timeout, connectionLost, responseTooLarge, prohibited, invalidRequest
        case cancelled
        /// A file of the body could not be read, or has become shorter.
        case unreadable
    }

    package var kind: Kind
    package var bodySent: Bool
    package var description: String
    package var remoteAddress: String?
    package var timings: HTTPTimings

    package init(
        kind: Kind,
        bodySent: Bool,
        description: String,
        remoteAddress: String? = nil,
        timings: HTTPTimings = .init()
    ) {
        self.kind = kind
        self.bodySent = bodySent
        self.description = description
        self.remoteAddress = remoteAddress
        self.timings = timings
    }
}

/// Whoever makes requests: libcurl, or a script in tests.
package protocol HTTPClient: Sendable {
    /// Makes one request to one of the addresses given; the certificate is checked against the name in the URL.
    func send(_ request: HTTPRequest, addresses: [IPAddress]) async throws(HTTPFailure) -> HTTPResponse
}
