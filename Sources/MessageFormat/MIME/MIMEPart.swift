/// One part of a message: its header fields and where its body lies in the content.
package struct MIMEPart: Sendable {
    package let header: HeaderSection
    /// Octets of the content, still in their transfer encoding.
    package private(set) var body: Range<Int>
    /// The multipart around it; nil for the message itself.
    package let parent: Int?
    /// `text/plain` where there is no Content-Type that can be read (RFC 2045 §5.2).
    package let contentType: ParameterizedValue
    /// Nil when the field is missing (RFC 2183).
    package let disposition: ParameterizedValue?

    init(header: HeaderSection, body: Range<Int>, parent: Int?) {
        self.header = header
        self.body = body
        self.parent = parent
        let type = header.first("Content-Type").map { ParameterizedValue(parsing: $0.unfolded) }
        self.contentType = type.flatMap { isMediaType($0.value) ? $0 : nil } ?? ParameterizedValue(value: "text/plain")
        self.disposition = header.first("Content-Disposition").map { ParameterizedValue(parsing: $0.unfolded) }
    }

    package var isMultipart: Bool {
        self.contentType.value.hasPrefix("multipart/")
    }

    package var transferEncoding: String {
        self.header.first("Content-Transfer-Encoding").map { ParameterizedValue(parsing: $0.unfolded).value } ?? "7bit"
    }

    /// The name that the writer gave to the part, for a file; nil when there is none.
    package var filename: String? {
        let name = self.disposition?.parameters["filename"] ?? self.contentType.parameters["name"]
        return name.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Without angle brackets; nil when there is none.
    package var contentID: String? {
        guard let value = self.header.first("Content-ID")?.unfolded else {
            return nil
        }
        let inside = value.drop { $0 == "<" }.prefix { $0 != ">" }
        return inside.isEmpty ? nil : String(inside)
    }

    /// The boundary of a multipart; one without it is a part like any other.
    var boundary: [UInt8]? {
        guard self.isMultipart, let text = self.contentType.parameters["boundary"] else {
            return nil
        }
        var boundary = Array(text.utf8.prefix(200))
        while boundary.last == 0x20 {
            boundary.removeLast()
        }
        return boundary.isEmpty ? nil : boundary
    }

    mutating func end(at position: Int) {
        self.body = self.body.lowerBound..<min(max(position, self.body.lowerBound), self.body.upperBound)
    }
}

private func isMediaType(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count == 2
        && parts.allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") }
        }
}
