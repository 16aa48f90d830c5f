/// What a message shows and carries, for APIs that take no MIME: its texts and its attachments.
package struct MessageBodies: Sendable {
    package struct Alternative: Hashable, Sendable {
        /// `text/calendar`, `text/x-amp-html`.
        package let contentType: String
        package let text: String
    }

    package struct Attachment: Hashable, Sendable {
        /// Without parameters.
        package let contentType: String
        /// Decoded and never empty; it may hold any character, and its user decides what is allowed.
        package let filename: String
        /// Without angle brackets.
        package let contentID: String?
        /// The HTML text shows it by its Content-ID.
        package let isInline: Bool
        package let octets: [UInt8]
    }

    package private(set) var text: String?
    package private(set) var html: String?
    package private(set) var alternatives: [Alternative] = []
    package private(set) var attachments: [Attachment] = []

    /// Walks over the parts: the first plain text and the first HTML that are not attachments are the texts.
    package init(_ tree: MIMETree) throws(MIMEProblem) {
        if tree.parts[0].header.first("DKIM-Signature") != nil {
            throw .protected("DKIM-Signature")
        }
        var files: [MIMEPart] = []
        for part in tree.parts {
            if protectedTypes.contains(part.contentType.value) {
                throw .protected(part.contentType.value)
            }
            if part.boundary == nil, try !self.takeText(part, tree) {
                files.append(part)
            }
        }
        let shown = contentReferences(self.html ?? "", to: Set(files.compactMap(\.contentID)))
        for part in files {
            let number = self.attachments.count + 1
            self.attachments.append(Attachment(part, tree, number: number, shown: shown))
        }
    }

    /// Takes a part that is shown as a text; false when it is to be attached.
    private mutating func takeText(_ part: MIMEPart, _ tree: MIMETree) throws(MIMEProblem) -> Bool {
        let type = part.contentType.value
        guard part.disposition?.value != "attachment", part.filename == nil, type.hasPrefix("text/") else {
            return false
        }
        let isAlternative = part.parent.map { tree.parts[$0].contentType.value } == "multipart/alternative"
        let isShown =
            (type == "text/plain" && self.text == nil) || (type == "text/html" && self.html == nil)
            || (isAlternative && alternativeTypes.contains(type))
        guard isShown else {
            return false
        }
        guard let text = tree.text(of: part) else {
            throw .unknownCharset(PrintableText.line(part.contentType.parameters["charset"] ?? "", limit: 40))
        }
        switch type {
        case "text/plain": self.text = text
        case "text/html": self.html = text
        default: self.alternatives.append(Alternative(contentType: type, text: text))
        }
        return true
    }
}

extension MessageBodies.Attachment {
    fileprivate init(_ part: MIMEPart, _ tree: MIMETree, number: Int, shown: Set<String>) {
        // A multipart without a boundary cannot be opened, but its octets can be handed on.
        let type = part.isMultipart ? "application/octet-stream" : part.contentType.value
        let fallback =
            type == "message/rfc822" ? "forwarded.eml" : "part-\(number).\(extensions[type] ?? genericExtension(type))"
        self.contentType = type
        self.filename = part.filename ?? fallback
        self.contentID = part.contentID
        self.isInline = part.contentID.map(shown.contains) ?? false
        self.octets = tree.decodedBody(of: part)
    }
}

/// Those of the Content-IDs that a HTML text refers to by `cid:` (RFC 2392), percent-encoded or as they are.
private func contentReferences(_ html: String, to identifiers: Set<String>) -> Set<String> {
    guard !identifiers.isEmpty else {
        return []
    }
    let bytes = Array(html.utf8)
    let marker = Array("cid:".utf8)
    var references: Set<String> = []
    var index = 0
    while index + marker.count < bytes.count {
        guard bytes[index...].starts(with: marker, by: { lowercased($0) == $1 }) else {
            index += 1
            continue
        }
        let rest = bytes[(index + marker.count)...].prefix(1_000)
        let reference = rest.prefix { $0 > 0x20 && $0 != 0x22 && $0 != 0x27 && $0 != 0x3E && $0 != 0x29 }
        // Only what a part has is kept: the text may be nothing but references.
        for octets in [Array(reference), percentDecoded(reference)] {
            let identifier = String(decoding: octets, as: UTF8.self)
            if identifiers.contains(identifier) {
                references.insert(identifier)
            }
        }
        index += marker.count + reference.count
    }
    return references
}

private let protectedTypes: Set<String> = [
    "multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime",
]

private let alternativeTypes: Set<String> = ["text/calendar", "text/x-amp-html"]

/// Extensions for parts without a name: some APIs drop a part whose name and type do not agree.
private let extensions = [
    "text/plain": "txt", "text/html": "html", "text/calendar": "ics", "text/csv": "csv", "image/png": "png",
    "image/jpeg": "jpg", "image/gif": "gif", "image/svg+xml": "svg", "image/webp": "webp", "application/pdf": "pdf",
    "application/zip": "zip", "application/json": "json", "application/xml": "xml", "text/xml": "xml",
]

private func genericExtension(_ type: String) -> String {
    type.hasPrefix("text/") ? "txt" : "bin"
}
