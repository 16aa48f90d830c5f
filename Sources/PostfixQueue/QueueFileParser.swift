import MailModel

import struct NIOCore.ByteBuffer

/// Puts a message together from its records: envelope, content, what was extracted from the header, end.
struct QueueFileParser {
    private typealias Kind = QueueRecord.Kind

    private enum Section {
        case start
        case envelope
        case content
        case extracted
    }

    private let defaultDomain: String
    private var section = Section.start
    private var arrivedAt: Timestamp?
    private var createdAt: Timestamp?
    private var reversePath: ReversePath?
    private var parameters = MailParameters()
    private var forwardPaths: [ForwardPath] = []
    private var redirect: Mailbox?
    private var finished = 0
    /// Said of the recipient whose record comes next.
    private var notify: Notify?
    private var originalRecipient: String?
    private var attributes: [String: String] = [:]
    private var content = ByteBuffer()
    private var lineIsOpen = false

    init(defaultDomain: String) {
        self.defaultDomain = defaultDomain
    }

    /// Takes the next record; true at the one that ends the message.
    mutating func take(_ record: QueueRecord, from reader: RecordReader) throws(QueueFileDamage) -> Bool {
        switch self.section {
        case .start:
            guard record.type == Kind.size else {
                throw .notWrittenToItsEnd
            }
            try self.takeSize(reader.text(of: record) ?? "")
            self.section = .envelope
        case .envelope where record.type == Kind.content:
            self.section = .content
        case .envelope:
            guard record.type != Kind.extracted, record.type != Kind.end else {
                throw .missing("content")
            }
            try self.takeEnvelope(record, from: reader)
        case .content where record.type == Kind.extracted:
            self.section = .extracted
        case .content:
            try self.takeContent(record, from: reader)
        case .extracted where record.type == Kind.end:
            return true
        case .extracted:
            try self.takeEnvelope(record, from: reader)
        }
        return false
    }

    /// The message, once the last record was taken.
    mutating func finish() throws(QueueFileDamage) -> QueueFile {
        guard let reversePath = self.reversePath else {
            throw .missing("sender")
        }
        guard let arrivedAt = self.arrivedAt ?? self.createdAt else {
            throw .missing("arrival time")
        }
        if self.lineIsOpen {
            self.content.writeStaticString("\r\n")
        }
        guard self.content.readableBytes > 0 else {
            throw .missing("content")
        }
        let isEightBit = self.content.readableBytesView.contains { $0 >= 0x80 }
        var parameters = self.parameters
        switch self.attributes["encoding"] {
        case "8bit": parameters.body = .eightBitMIME
        case "7bit" where !isEightBit: parameters.body = .sevenBit
        default: break
        }
        // A filter's redirection takes the place of every recipient.
        let forwardPaths = self.redirect.map { [ForwardPath(mailbox: $0)] } ?? self.forwardPaths
        return QueueFile(
            envelope: Envelope(reversePath: reversePath, parameters: parameters, forwardPaths: forwardPaths),
            arrivedAt: arrivedAt,
            finishedRecipients: self.finished,
            content: self.content,
            isEightBit: isEightBit,
            clientAddress: (self.attributes["log_client_address"] ?? self.attributes["client_address"])
                .flatMap { IPAddress($0) },
            clientName: self.attributes["log_helo_name"] ?? self.attributes["helo_name"] ?? "",
            user: self.attributes["sasl_username"]
        )
    }

    /// Content size, where the content begins, recipients, hints, size again, and what SMTPUTF8 is needed for.
    ///
    /// Zeros until Postfix comes back to write them, which is the last thing that it does.
    private mutating func takeSize(_ text: String) throws(QueueFileDamage) {
        let numbers = text.split(separator: " ").map { Int($0) }
        guard numbers.count >= 3, let size = numbers[0], let offset = numbers[1], size > 0, offset > 0 else {
            throw .notWrittenToItsEnd
        }
        // The client asked for it (1), and the header, the sender or a recipient has need of it (2, 4, 8).
        if numbers.count >= 6, let flags = numbers[5] {
            self.parameters.smtpUTF8 = flags & 1 != 0 && flags & 14 != 0
        }
    }

    private mutating func takeEnvelope(_ record: QueueRecord, from reader: RecordReader) throws(QueueFileDamage) {
        switch record.type {
        case Kind.time:
            self.arrivedAt = self.arrivedAt ?? moment(reader.text(of: record) ?? "")
        case Kind.creationTime:
            self.createdAt = self.createdAt ?? moment(reader.text(of: record) ?? "")
        case Kind.sender:
            if self.reversePath == nil {
                let address = try self.address(record, reader)
                self.reversePath = try address.isEmpty ? .null : .mailbox(self.mailbox(address))
            }
        case Kind.recipient:
            try self.takeRecipient(try self.address(record, reader))
        case Kind.done, Kind.cancelled:
            self.finished += 1
            self.forgetRecipient()
        case Kind.redirect:
            self.redirect = try self.mailbox(try self.address(record, reader))
        case Kind.attribute:
            // What is not text is none of the attributes that are used here.
            try self.takeAttribute(reader.text(of: record) ?? "")
        default:
            // Names of filters, full names, warning times, padding for filters: nothing that delivery needs.
            break
        }
    }

    private mutating func takeRecipient(_ address: String) throws(QueueFileDamage) {
        guard self.forwardPaths.count < QueueFile.recipientLimit else {
            throw .tooManyRecipients
        }
        self.forwardPaths.append(
            ForwardPath(
                mailbox: try self.mailbox(address),
                notify: self.notify,
                originalRecipient: self.originalRecipient
            )
        )
        self.forgetRecipient()
    }

    private mutating func forgetRecipient() {
        self.notify = nil
        self.originalRecipient = nil
    }

    private mutating func takeAttribute(_ text: String) throws(QueueFileDamage) {
        guard let equals = text.firstIndex(of: "=") else {
            return
        }
        let value = String(text[text.index(after: equals)...])
        switch text[..<equals] {
        case "notify_flags":
            self.notify = Int(value).flatMap(Notify.init(postfixFlags:))
        case "dsn_orig_rcpt":
            self.originalRecipient = typedExtendedText(value)
        case "canceled_recipient":
            self.finished += 1
            self.forgetRecipient()
        case "envelope_id":
            self.parameters.envelopeID = self.parameters.envelopeID ?? extendedText(value)
        case "ret_flags":
            self.parameters.returnContent = self.parameters.returnContent ?? .init(postfixFlags: value)
        case "create_time":
            self.createdAt = self.createdAt ?? moment(value)
        case let name where attributesToKeep.contains(String(name)):
            self.attributes[String(name)] = String(value.prefix(255))
        default:
            break
        }
    }

    private mutating func takeContent(_ record: QueueRecord, from reader: RecordReader) throws(QueueFileDamage) {
        var data = reader.data(of: record)
        // Postfix cuts at line feeds, so one inside is none of its doing, and would smuggle what follows it.
        guard !data.readableBytesView.contains(0x0A) else {
            throw .unexpectedRecord(type: record.type, at: record.offset)
        }
        switch record.type {
        case Kind.line:
            self.content.writeBuffer(&data)
            self.content.writeStaticString("\r\n")
            self.lineIsOpen = false
        case Kind.piece:
            self.content.writeBuffer(&data)
            self.lineIsOpen = true
        default:
            throw .unexpectedRecord(type: record.type, at: record.offset)
        }
    }

    private func address(_ record: QueueRecord, _ reader: RecordReader) throws(QueueFileDamage) -> String {
        guard let text = reader.text(of: record) else {
            throw .badAddress(String(decoding: reader.data(of: record).readableBytesView.prefix(512), as: UTF8.self))
        }
        return text
    }

    private func mailbox(_ address: String) throws(QueueFileDamage) -> Mailbox {
        try InternalAddress.mailbox(address, defaultDomain: self.defaultDomain)
    }
}

private let attributesToKeep: Set<String> = [
    "encoding", "log_client_address", "client_address", "log_helo_name", "helo_name", "sasl_username",
]

/// `seconds microseconds`, as Postfix writes the arrival; older files have seconds alone.
private func moment(_ text: String) -> Timestamp? {
    let numbers = text.split(separator: " ").map { Int64($0) }
    guard let seconds = numbers.first ?? nil, (1..<100_000_000_000).contains(seconds) else {
        return nil
    }
    let fraction = numbers.count > 1 ? numbers[1] ?? 0 : 0
    return Timestamp(microseconds: seconds * 1_000_000 + min(max(0, fraction), 999_999))
}

/// `rfc822;user@example.com` with its address as xtext.
private func typedExtendedText(_ text: String) -> String? {
    guard let semicolon = text.firstIndex(of: ";") else {
        return nil
    }
    let type = text[..<semicolon]
    guard !type.isEmpty, type.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x3D && $0 != 0x2B }) else {
        return nil
    }
    return extendedText(String(text[text.index(after: semicolon)...])).map { "\(type);\($0)" }
}

extension Notify {
    /// The bits of Postfix's `dsn_mask.h`; nil when none is set.
    fileprivate init?(postfixFlags flags: Int) {
        guard (1...15).contains(flags) else {
            return nil
        }
        self = []
        for (bit, option) in [(2, Notify.success), (4, .failure), (8, .delay)] where flags & bit != 0 {
            self.insert(option)
        }
    }
}

extension MailParameters.ReturnContent {
    fileprivate init?(postfixFlags text: String) {
        switch text {
        case "1": self = .full
        case "2": self = .headers
        default: return nil
        }
    }
}
