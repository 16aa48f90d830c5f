/// What has come of a response, within its bounds.
struct IncomingResponse {
    /// Octets that are discarded of a body beyond its limit before the transfer is ended.
    private static let discardLimit = 1 << 20
    private static let headerLimit = 64 << 10

    /// Octets of the body that are kept.
    private let limit: Int
    private(set) var status = 0
    private var hasWholeHeader = false
    private var headers: [(name: String, value: String)] = []
    private var headerSize = 0
    private var body: [UInt8] = []
    private var bodySize = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Takes a piece of the body; the number of octets taken, zero when it is too much.
    mutating func receive(body octets: UnsafeRawBufferPointer) -> Int {
        self.bodySize += octets.count
        guard self.bodySize <= max(Self.discardLimit, self.limit) else {
            return 0
        }
        let room = max(0, self.limit - self.body.count)
        self.body += octets.prefix(room)
        return octets.count
    }

    /// Takes a line of the header section; the number of octets taken, zero when it is too much.
    mutating func receive(header octets: UnsafeRawBufferPointer) -> Int {
        self.headerSize += octets.count
        guard self.headerSize <= Self.headerLimit else {
            return 0
        }
        let line = String(decoding: octets, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // A further header section: the one before was 1yz.
            self.headers = []
            self.hasWholeHeader = false
            self.status = line.split(separator: " ").dropFirst().first.flatMap { Int($0.prefix(3)) } ?? 0
        } else if let colon = line.firstIndex(of: ":") {
            let value = line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace).joined(separator: " ")
            self.headers.append((String(line[..<colon]), value))
        } else {
            self.hasWholeHeader = true
        }
        return octets.count
    }

    var isAccepted: Bool {
        (200..<300).contains(self.status)
    }

    /// Whether the server has spoken, however the transfer ended.
    ///
    /// It need not read what it refuses, and may even reset the stream after its response, which counts nevertheless
    /// (RFC 9113 §8.1): libcurl 7.88 calls that an error. Of a refusal, the status is enough.
    var isAnswered: Bool {
        self.isWhole || self.hasWholeHeader && self.status >= 400
    }

    /// Whether the response is here as a whole, by its own word on its length.
    private var isWhole: Bool {
        let field = self.headers.first { $0.name.lowercased() == "content-length" }
        return self.hasWholeHeader && self.status >= 200
            && field.flatMap { Int($0.value) }.map { self.bodySize >= $0 } ?? false
    }

    /// The response, of which no more will come; the body may lack its end when the transfer has failed.
    func ended(hasFailed: Bool, _ info: TransferInfo) -> HTTPResponse {
        HTTPResponse(
            status: self.status,
            headers: self.headers,
            body: self.body,
            isTruncated: self.bodySize > self.body.count || hasFailed && !self.isWhole,
            remoteAddress: info.remoteAddress,
            timings: info.timings,
            protocolVersion: info.protocolVersion
        )
    }
}
