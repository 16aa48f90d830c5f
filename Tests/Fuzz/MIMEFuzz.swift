import MailModel
import MessageFormat
import NIOCore

/// What libFuzzer calls with each input; the first octet chooses what is fed with the rest.
///
/// A trap, an address error, a broken promise or twenty seconds without an end is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var input = FuzzInput(data, size)
    switch input.octet() % 4 {
    case 0: fuzzTree(Array(input.rest))
    case 1: fuzzFields(Array(input.rest))
    case 2: fuzzSubmission(Array(input.rest))
    default: fuzzReport(&input)
    }
    return 0
}

/// A content has parts within limits, none outside of it or over another; what they decode to is no larger than they are.
private func fuzzTree(_ content: [UInt8]) {
    guard let tree = try? MIMETree(content) else {
        return
    }
    require((1...MIMETree.partLimit).contains(tree.parts.count), "parts without bound")
    var decoded = 0
    for (index, part) in tree.parts.enumerated() {
        require(part.body.lowerBound >= 0 && part.body.upperBound <= content.count, "a part outside of the content")
        require(part.parent.map { $0 < index } ?? (index == 0), "a part before the one that holds it")
        if let parent = part.parent {
            let outer = tree.parts[parent].body
            require(outer.lowerBound <= part.body.lowerBound, "a part begins before the one that holds it")
            require(part.body.isEmpty || part.body.upperBound <= outer.upperBound, "a part ends behind its holder")
        }
        if !part.isMultipart {
            decoded += tree.decodedBody(of: part).count
        }
        _ = (tree.text(of: part), part.filename, part.contentID)
    }
    require(decoded <= content.count, "decoding makes more octets")
    guard let bodies = try? MessageBodies(tree) else {
        return
    }
    require(bodies.attachments.allSatisfy { !$0.filename.isEmpty }, "an attachment without name")
    require(bodies.attachments.count + bodies.alternatives.count <= tree.parts.count, "more than there are parts")
}

/// Fields of a header section, however they are written.
private func fuzzFields(_ octets: [UInt8]) {
    let section = HeaderSection(octets)
    require(section.fields.count <= HeaderSection.fieldLimit, "fields without bound")
    require(section.length <= octets.count, "a header longer than the content")
    for field in section.fields {
        let value = ParameterizedValue(parsing: field.unfolded)
        require(value.parameters.count <= ParameterizedValue.limit, "parameters without bound")
        checkLine(PrintableText.line(field.text, limit: 80), limit: 80)
        _ = field.isNamed("Subject")
    }
    for name in ["From", "To", "Cc"] {
        let list = AddressList(section, name)
        require(list.mailboxes.count <= AddressList.limit, "mailboxes without bound")
        _ = list.mailboxes.map { $0.address }
    }
    let text = String(decoding: octets, as: UTF8.self)
    _ = (EncodedWord.decode(text), AddressList(text), ParameterizedValue(parsing: text), XText.decode(text))
    checkLine(PrintableText.line(text, limit: 40), limit: 40)
    let encoded = EncodedWord.encode(text)
    require(encoded.utf8.allSatisfy { $0 < 0x80 }, "an encoded word with octets over 127")
    if !text.unicodeScalars.contains(where: { $0.value < 0x20 }), !text.contains("=?") {
        require(EncodedWord.decode(encoded) == text, "an encoded word that is read as another text")
    }
    require(Base64.decode(Array(Base64.encode(octets).utf8)[...]) == octets, "base64 that is read as other octets")
    require(QuotedPrintable.decode(octets[...]).count <= octets.count, "decoding makes more octets")
}

private func checkLine(_ line: String, limit: Int) {
    require(line.count <= limit, "a text over its limit")
    require(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }, "control characters")
}

/// A header section that was prepared for the store is one, and is not prepared again.
private func fuzzSubmission(_ octets: [UInt8]) {
    let trace = TraceFacts(
        clientName: "app.test",
        clientAddress: .v4(0x7F00_0001),
        hostname: "gateway.test",
        isExtended: true,
        isTLS: false,
        isAuthenticated: false,
        isSMTPUTF8: false,
        queueID: QueueID(number: 1),
        recipients: [Mailbox(localPart: "a", domain: MailDomain("x.test"))],
        receivedAt: Timestamp(seconds: 1_795_515_423)
    )
    let prepared = SubmissionHeader.prepare(ByteBuffer(bytes: octets), trace: trace)
    require(prepared.replacedLength <= octets.count, "more is replaced than there is")
    require(prepared.bytes.readableBytes <= octets.count + 1_024, "a header without bound")
    checkLine(prepared.subject, limit: SubmissionHeader.subjectLimit)
    let written = Array(prepared.bytes.readableBytesView)
    require(written.starts(with: "Received: ".utf8), "no trace in front")
    let whole = written + octets[prepared.replacedLength...]
    let again = SubmissionHeader.prepare(ByteBuffer(bytes: whole), trace: trace)
    require(again.receivedCount == prepared.receivedCount + 1, "the trace is not read as one")
    require(again.messageID == prepared.messageID, "another Message-ID")
    require(again.isTLSOptional == prepared.isTLSOptional, "another wish about TLS")
    let section = HeaderSection(whole)
    require(section.all("Bcc").isEmpty && section.all("Resent-Bcc").isEmpty, "Bcc is left in")
}

/// A report on anything is a message of three parts whose lines end as they should.
private func fuzzReport(_ input: inout FuzzInput) {
    let flags = input.octet()
    let texts = input.rest.split(separator: 0xFF, maxSplits: 5, omittingEmptySubsequences: false)
        .map { String(decoding: $0, as: UTF8.self) }
    let text = { (index: Int) in index < texts.count ? texts[index] : "x" }
    let returned = ByteBuffer(bytes: input.rest.suffix(200))
    let report = DeliveryReport(
        hostname: "gateway.test",
        returnPath: Mailbox(localPart: "app", domain: MailDomain("x.test")),
        id: QueueID(number: 1),
        composedAt: Timestamp(seconds: 1_795_515_423),
        originalID: QueueID(number: 2),
        originalMessageID: text(0),
        originalSubject: text(1),
        arrivedAt: Timestamp(seconds: 1_795_515_000),
        envelopeID: text(2),
        recipients: [
            .init(
                mailbox: Mailbox(localPart: "a", domain: MailDomain("y.test")),
                originalRecipient: text(3),
                action: flags & 1 == 0 ? .failed : .delayed,
                status: EnhancedStatusCode(5, 1, 1),
                text: text(4),
                isReply: flags & 2 != 0,
                remoteMTA: text(5)
            )
        ],
        returned: flags & 4 == 0 ? .header(returned) : .content(returned)
    )
    let octets = Array(DSNComposer.compose(report, boundary: "=_boundary_0123456789").readableBytesView)
    let section = HeaderSection(octets)
    require(section.isComplete && section.all("Bcc").isEmpty, "the report has no header section of its own")
    require(section.all("From").count == 1 && section.all("To").count == 1, "text of others becomes a field")
    let body = octets[..<(octets.count - returned.readableBytes)]
    for (index, octet) in body.enumerated() where octet == 0x0A && index > 0 && index < section.length {
        require(body[index - 1] == 0x0D, "a bare LF in the header section")
    }
    guard let tree = try? MIMETree(octets) else {
        return require(false, "a report that cannot be read")
    }
    require(tree.parts[0].contentType.value == "multipart/report", "no report")
    require(tree.parts.filter { $0.parent == 0 }.count >= 3, "a part of the report is missing")
}
