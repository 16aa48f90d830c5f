package import HTTPTransport
package import MailModel
import MessageFormat

/// A response as the tables of the services read it.
package struct ServiceResponse: Sendable {
    /// The longest wait that a `Retry-After` can ask for.
    package static let longestWait = Duration.seconds(3_600)

    package let status: Int
    package let body: [UInt8]
    private let headers: [(name: String, value: String)]
    private let secrets: [String]
    /// When the response came, for waits that are told as a moment.
    private let now: Timestamp

    package init(_ response: HTTPResponse, secrets: [String], now: Timestamp) {
        self.status = response.status
        self.body = response.body
        self.headers = response.headers
        self.secrets = secrets
        self.now = now
    }

    /// The first header of a name, without regard to case.
    package func header(_ name: String) -> String? {
        let name = name.lowercased()
        return self.headers.first { $0.name.lowercased() == name }?.value
    }

    /// Text of a response made fit for a record: one line, at most 300 characters, no secret.
    package func fit(_ text: String) -> String {
        scrubbed(text, of: self.secrets)
    }

    /// Status and text as people quote them: `401 Forbidden`.
    package func quote(_ text: String) -> String {
        let text = text.isEmpty ? String(decoding: self.body.prefix(1_000), as: UTF8.self) : text
        return self.fit("HTTP \(self.status) \(text)")
    }

    /// How long the service asks to wait, between nothing and an hour.
    ///
    /// - Parameters:
    ///   - resetHeader: A header with the moment in seconds since the epoch, where the service has one.
    ///   - text: Text that may hold a date (`try again after Mon, 20 Dec 2021 20:33:21 UTC`).
    /// - Returns: Nil when the response says nothing about it.
    package func wait(resetHeader: String? = nil, text: String = "") -> Duration? {
        if let value = self.header("Retry-After") {
            if let seconds = Int64(value) {
                return .seconds(min(max(0, seconds), 3_600))
            }
            if let moment = HTTPDate.find(in: value) {
                return self.bounded(moment)
            }
        }
        if let value = resetHeader.flatMap({ self.header($0) }), let seconds = Int64(value) {
            return self.bounded(Timestamp(seconds: min(seconds, 1 << 40)))
        }
        return HTTPDate.find(in: text).map(self.bounded)
    }

    private func bounded(_ moment: Timestamp) -> Duration {
        min(max(.zero, moment - self.now), ServiceResponse.longestWait)
    }
}

/// One line of at most 300 characters without control characters and without any of the secrets.
func scrubbed(_ text: String, of secrets: [String]) -> String {
    var text = String(text.unicodeScalars.prefix(8_000))
    for secret in secrets where !secret.isEmpty {
        text = text.split(separator: secret, omittingEmptySubsequences: false).joined(separator: "•••")
    }
    let words = text.split(omittingEmptySubsequences: true) { $0.isWhitespace }
    return PrintableText.line(words.joined(separator: " "), limit: 300)
}

/// A count as JSON writes it; nil for what is none, such as a negative or an absurd one.
func wholeNumber(_ number: Double) -> Int? {
    Int(exactly: number.rounded(.down)).flatMap { (0...1_000_000_000_000).contains($0) ? $0 : nil }
}
