import MailModel

package import struct NIOCore.ByteBuffer

/// The header section of a submission as it is stored: traced, completed, and without what must not be seen.
///
/// One Received field goes in front (RFC 5321 §4.4), Date and Message-ID are added where they are missing (RFC 6409
/// §8.2, §8.3), Bcc and Resent-Bcc fields are taken out (RFC 5322 §3.6.3). All else stays octet for octet.
package struct SubmissionHeader: Sendable {
    /// Received fields beyond which a message is taken to go round in a circle (RFC 5321 §6.3).
    package static let hopLimit = 100
    /// Characters of a subject that are kept for people.
    package static let subjectLimit = 120

    /// What to store in place of the first `replacedLength` octets; ends with the empty line if there is a body.
    package let bytes: ByteBuffer
    /// How many readable octets of the argument this header replaces; what follows them is stored as it is.
    package let replacedLength: Int
    /// The value of the Message-ID field, with its angle brackets when it has them.
    package let messageID: String
    /// Decoded, on one line, without control characters, at most `subjectLimit` characters.
    package let subject: String
    /// The message says `TLS-Required: No` (RFC 8689 §3).
    package let isTLSOptional: Bool
    /// Received fields that were there before ours.
    package let receivedCount: Int

    /// Whether the message has passed more hosts than any honest one: refuse it with 5.4.6.
    package var isLooping: Bool {
        self.receivedCount > SubmissionHeader.hopLimit
    }

    /// Makes the header to store from the beginning of a content.
    ///
    /// - Parameters:
    ///   - content: The header section up to and with its empty line; more, up to the whole content, may follow and is
    ///     not touched. Content that does not begin with a field is all body, and gets a header section of its own.
    ///   - trace: What the listener knows of the submission.
    /// - Returns: The new header, and what is known of the message from the old one.
    package static func prepare(_ content: ByteBuffer, trace: TraceFacts) -> SubmissionHeader {
        content.withUnsafeReadableBytes { SubmissionHeader(scanning: $0, trace: trace) }
    }

    private init(scanning octets: UnsafeRawBufferPointer, trace: TraceFacts) {
        let survey = Survey(octets)
        var buffer = ByteBuffer()
        buffer.reserveCapacity(survey.end + 512)
        buffer.writeBytes(trace.receivedFieldOctets.octets)
        var copied = 0
        for range in survey.removed {
            buffer.writeBytes(UnsafeRawBufferPointer(rebasing: octets[copied..<range.lowerBound]))
            copied = range.upperBound
        }
        buffer.writeBytes(UnsafeRawBufferPointer(rebasing: octets[copied..<max(copied, survey.fieldsEnd)]))
        if survey.lastFieldIsOpen {
            buffer.writeStaticString("\r\n")
        }
        if !survey.hasDate {
            buffer.writeString("Date: \(trace.receivedAt.messageDate)\r\n")
        }
        let identifier = survey.messageID ?? "<\(trace.queueID).x@\(trace.hostname)>"
        if survey.messageID == nil {
            buffer.writeString("Message-ID: \(identifier)\r\n")
        }
        if survey.needsEmptyLine {
            buffer.writeStaticString("\r\n")
        }
        self.bytes = buffer
        self.replacedLength = survey.end
        self.messageID = identifier
        self.subject = survey.subject
        self.isTLSOptional = survey.isTLSOptional
        self.receivedCount = survey.receivedCount
    }
}

/// What one pass over a header section finds.
private struct Survey {
    /// Fields to leave out, in order.
    var removed: [Range<Int>] = []
    var messageID: String?
    var subject = ""
    var hasDate = false
    var isTLSOptional = false
    var receivedCount = 0
    /// Where the last field ends.
    var fieldsEnd = 0
    /// Where the body begins, after an empty line if there is one.
    var end = 0
    /// Whether an empty line has to be written after the fields.
    var needsEmptyLine = true
    /// The content ends within a field.
    var lastFieldIsOpen = false

    init(_ octets: UnsafeRawBufferPointer) {
        var scanner = FieldScanner(octets)
        scanning: while true {
            switch scanner.next() {
            case .field(let range, let nameLength, let bodyStart):
                let name = UnsafeRawBufferPointer(rebasing: octets[range.lowerBound..<(range.lowerBound + nameLength)])
                self.note(octets, range, name: name, bodyStart: bodyStart)
                self.fieldsEnd = range.upperBound
            case .emptyLine(let range):
                self.end = range.upperBound
                break scanning
            case .stray(let position):
                self.end = position
                // A message may be a header section alone; then no empty line follows it.
                self.needsEmptyLine = position < octets.count || position == 0
                break scanning
            }
        }
        let wasRemoved = self.removed.last?.upperBound == self.fieldsEnd
        self.lastFieldIsOpen = self.fieldsEnd > 0 && octets[self.fieldsEnd - 1] != 0x0A && !wasRemoved
    }

    private mutating func note(
        _ octets: UnsafeRawBufferPointer,
        _ range: Range<Int>,
        name: UnsafeRawBufferPointer,
        bodyStart: Int
    ) {
        let field = { HeaderField(octets, range, nameLength: name.count, bodyStart: bodyStart) }
        switch name.count {
        case 3 where equals(name, "bcc"), 10 where equals(name, "resent-bcc"):
            self.removed.append(range)
        case 4 where equals(name, "date"):
            self.hasDate = true
        case 7 where equals(name, "subject"):
            self.subject = self.subject.isEmpty ? shortened(field()) : self.subject
        case 8 where equals(name, "received"):
            self.receivedCount += 1
        case 12 where equals(name, "tls-required"):
            self.isTLSOptional = field().unfolded.lowercased() == "no"
        case 10 where equals(name, "message-id"):
            self.noteMessageID(field(), range)
        default:
            break
        }
    }

    /// Keeps the first identifier; a field without one is taken out, since ours is then the only one.
    private mutating func noteMessageID(_ field: HeaderField, _ range: Range<Int>) {
        let value = field.unfolded
        if value.isEmpty {
            self.removed.append(range)
        } else if self.messageID == nil {
            self.messageID = value.utf8.count <= 500 ? value : String(value.prefix(500))
        }
    }
}

private func equals(_ name: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
    guard name.count == word.utf8CodeUnitCount else {
        return false
    }
    for index in 0..<name.count where lowercased(name[index]) != word.utf8Start[index] {
        return false
    }
    return true
}

private func shortened(_ field: HeaderField) -> String {
    // A subject may be long beyond reason; what is shown is decided by its first octets.
    let bounded = HeaderField(name: field.name, rawBody: Array(field.rawBody.prefix(4_000)))
    return PrintableText.line(bounded.text, limit: SubmissionHeader.subjectLimit)
}
