import MailModel

package import struct NIOCore.ByteBuffer

/// Writes delivery status notifications: multipart/report with words, a status for programs, and what is returned.
///
/// RFC 3464 and RFC 6522; RFC 6533 where an address is not ASCII.
package enum DSNComposer {
    /// Characters of a quoted reply that are kept.
    static let quoteLimit = 500

    /// Writes the whole content of the report; it is sent from the null reverse-path (RFC 3464 §2).
    ///
    /// - Parameters:
    ///   - report: What to tell.
    ///   - boundary: Random and unlike anything in the returned message: letters and digits, at most 60.
    /// - Returns: Header section and body with CRLF line ends, without dot-stuffing.
    package static func compose(_ report: DeliveryReport, boundary: String) -> ByteBuffer {
        var buffer = ByteBuffer()
        self.writeHeader(report, boundary: boundary, to: &buffer)
        let explanation = Explanation(report).lines
        let isASCII = explanation.allSatisfy { $0.utf8.allSatisfy { $0 < 0x80 } }
        let kind = report.needsUnicode ? "global-delivery-status" : "delivery-status"
        self.write(
            [
                "--\(boundary)", "Content-Description: Notification",
                "Content-Type: text/plain; charset=\(isASCII ? "us-ascii" : "utf-8")",
                "Content-Transfer-Encoding: \(isASCII ? "7bit" : "8bit")", "",
            ] + explanation + [
                "", "--\(boundary)", "Content-Description: Delivery report", "Content-Type: message/\(kind)",
                "Content-Transfer-Encoding: \(report.needsUnicode ? "8bit" : "7bit")", "",
            ] + StatusFields(report).lines + [""],
            to: &buffer
        )
        self.writeReturned(report, boundary: boundary, to: &buffer)
        self.write(["", "--\(boundary)--"], to: &buffer)
        return buffer
    }

    private static func writeHeader(_ report: DeliveryReport, boundary: String, to buffer: inout ByteBuffer) {
        let subject =
            report.hasFailure
            ? "Undelivered Mail Returned to Sender"
            : report.isDelayOnly ? "Delayed Mail (still being retried)" : "Successful Mail Delivery Report"
        let kind = report.needsUnicode ? "global-delivery-status" : "delivery-status"
        self.write(
            [
                "Date: \(report.composedAt.messageDate)",
                "From: Mail Delivery System <mailer-daemon@\(report.hostname)>",
                "To: <\(PrintableText.line(report.returnPath.description, limit: 900))>",
                "Subject: \(subject)",
                "Message-ID: <\(report.id).dsn@\(report.hostname)>",
                "Auto-Submitted: auto-replied",
            ] + references(report) + [
                "MIME-Version: 1.0",
                "Content-Type: multipart/report; report-type=\(kind);",
                "\tboundary=\"\(boundary)\"",
                "",
                "This is a report in MIME format.",
                "",
            ],
            to: &buffer
        )
    }

    /// Threads the report with the message, if its identifier is one (RFC 5322 §3.6.4).
    private static func references(_ report: DeliveryReport) -> [String] {
        let identifier = report.originalMessageID
        guard identifier.hasPrefix("<"), identifier.hasSuffix(">"), identifier.utf8.count < 900,
            identifier.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            return []
        }
        return ["In-Reply-To: \(identifier)", "References: \(identifier)"]
    }

    private static func writeReturned(_ report: DeliveryReport, boundary: String, to buffer: inout ByteBuffer) {
        let type: String
        var returned: ByteBuffer
        switch report.returned {
        case .header(let header):
            (type, returned) = (report.needsUnicode ? "message/global-headers" : "text/rfc822-headers", header)
        case .content(let content):
            (type, returned) = (report.needsUnicode ? "message/global" : "message/rfc822", content)
        }
        let isEightBit = returned.readableBytesView.contains { $0 >= 0x80 }
        self.write(
            [
                "--\(boundary)", "Content-Description: Undelivered message", "Content-Type: \(type)",
                "Content-Transfer-Encoding: \(isEightBit ? "8bit" : "7bit")", "",
            ],
            to: &buffer
        )
        buffer.writeBuffer(&returned)
    }

    private static func write(_ lines: [String], to buffer: inout ByteBuffer) {
        for line in lines {
            buffer.writeString(line)
            buffer.writeStaticString("\r\n")
        }
    }
}

/// The part for programs: one group of fields for the message and one for each recipient (RFC 3464 §2.2, §2.3).
private struct StatusFields {
    private(set) var lines: [String] = []
    private let isASCII: Bool

    init(_ report: DeliveryReport) {
        self.isASCII = !report.needsUnicode
        self.add("Reporting-MTA", "dns; \(report.hostname)")
        if let envelopeID = report.envelopeID {
            self.add("Original-Envelope-Id", XText.decode(envelopeID))
        }
        self.add("X-Hikyaku-Queue-ID", "\(report.originalID)")
        self.add("Arrival-Date", report.arrivedAt.messageDate)
        for recipient in report.recipients {
            self.lines.append("")
            self.addRecipient(recipient)
        }
    }

    private mutating func addRecipient(_ recipient: DeliveryReport.RecipientStatus) {
        if let original = recipient.originalRecipient, let semicolon = original.firstIndex(of: ";") {
            let address = XText.decode(String(original[original.index(after: semicolon)...]))
            self.add("Original-Recipient", "\(original[..<semicolon]); \(address)")
        }
        let type = recipient.mailbox.isASCII ? "rfc822" : "utf-8"
        self.add("Final-Recipient", "\(type); \(recipient.mailbox)")
        self.add("Action", recipient.action.rawValue)
        self.add("Status", "\(recipient.status)")
        if let host = recipient.remoteMTA {
            self.add("Remote-MTA", "dns; \(host)")
        }
        self.add("Diagnostic-Code", "\(recipient.isReply ? "smtp" : "x-hikyaku"); \(recipient.text)")
        if let moment = recipient.lastAttemptAt {
            self.add("Last-Attempt-Date", moment.messageDate)
        }
        if recipient.action == .delayed, let moment = recipient.willRetryUntil {
            self.add("Will-Retry-Until", moment.messageDate)
        }
    }

    private mutating func add(_ name: String, _ value: String) {
        let line = PrintableText.line("\(name): \(value)", limit: DSNComposer.quoteLimit)
        self.lines += WrappedText.wrap(self.isASCII ? ascii(line) : line, indent: "    ")
    }
}

/// Every character that is not ASCII as `?`, for fields that may hold nothing else.
private func ascii(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.isASCII ? $0 : "?" }))
}
