/// One mailbox of a header field such as To, with the name shown beside it (RFC 5322 §3.4).
package struct HeaderMailbox: Hashable, Sendable {
    /// Decoded; nil when there is none.
    package let displayName: String?
    /// As written, quotes included; never empty.
    package let localPart: String
    /// As written; never empty.
    package let domain: String

    package init(displayName: String?, localPart: String, domain: String) {
        self.displayName = displayName
        self.localPart = localPart
        self.domain = domain
    }

    /// `local-part@domain`.
    package var address: String {
        "\(self.localPart)@\(self.domain)"
    }
}

/// The mailboxes of an address field, groups opened, in their order (RFC 5322 §3.4).
///
/// What is no address is left out; nothing that a writer can put into a field stops the reading.
package struct AddressList: Sendable {
    /// Mailboxes that are read from one field.
    package static let limit = 5_000

    package let mailboxes: [HeaderMailbox]

    /// Reads a field body that is unfolded but still encoded: decoding first would let an encoded comma split a name.
    package init(_ unfolded: String) {
        var reader = Reader(bytes: Array(unfolded.utf8))
        self.mailboxes = reader.mailboxes()
    }

    /// The mailboxes of all fields of one name.
    package init(_ header: HeaderSection, _ name: String) {
        self.mailboxes = header.all(name).flatMap { AddressList($0.unfolded).mailboxes }
    }

    private struct Reader {
        let bytes: [UInt8]
        var index = 0
        /// Words before an angle bracket, as a display name or a group name.
        var phrase: [UInt8] = []
        /// The same without white space outside quotes: an address that stands alone.
        var bare: [UInt8] = []
        var angle: [UInt8]?
        var found: [HeaderMailbox] = []

        init(bytes: [UInt8]) {
            self.bytes = bytes
        }

        mutating func mailboxes() -> [HeaderMailbox] {
            while self.index < self.bytes.count, self.found.count < AddressList.limit {
                let byte = self.bytes[self.index]
                switch byte {
                case UInt8(ascii: "("):
                    self.skipComment()
                case UInt8(ascii: "\""):
                    let (raw, plain) = self.quotedString()
                    self.phrase += plain
                    self.bare += raw
                case UInt8(ascii: "<"):
                    self.angle = self.angleAddress()
                case UInt8(ascii: ","), UInt8(ascii: ";"):
                    self.endMailbox()
                    self.index += 1
                case UInt8(ascii: ":"):
                    // The name of a group; its mailboxes count like any other.
                    (self.phrase, self.bare) = ([], [])
                    self.index += 1
                case UInt8(ascii: "["):
                    self.takeLiteral()
                default:
                    self.phrase.append(byte)
                    if byte > 0x20 {
                        self.bare.append(byte)
                    }
                    self.index += 1
                }
            }
            self.endMailbox()
            return self.found
        }

        private mutating func endMailbox() {
            if let (localPart, domain) = addressParts(self.angle ?? self.bare) {
                let name = self.angle == nil ? [] : trimmed(self.phrase[...])
                let decoded = EncodedWord.decode(String(decoding: name, as: UTF8.self))
                self.found.append(
                    HeaderMailbox(displayName: decoded.isEmpty ? nil : decoded, localPart: localPart, domain: domain)
                )
            }
            (self.phrase, self.bare, self.angle) = ([], [], nil)
        }

        /// Skips a comment with all comments inside it (RFC 5322 §3.2.2), by counting.
        private mutating func skipComment() {
            var depth = 0
            while self.index < self.bytes.count {
                switch self.bytes[self.index] {
                case UInt8(ascii: "("): depth += 1
                case UInt8(ascii: ")"): depth -= 1
                case UInt8(ascii: "\\"): self.index += 1
                default: break
                }
                self.index += 1
                if depth == 0 {
                    return
                }
            }
        }

        /// A quoted string as it stands, and its content without quoting.
        private mutating func quotedString() -> (raw: [UInt8], plain: [UInt8]) {
            var raw: [UInt8] = [UInt8(ascii: "\"")]
            var plain: [UInt8] = []
            self.index += 1
            while self.index < self.bytes.count {
                var byte = self.bytes[self.index]
                raw.append(byte)
                self.index += 1
                if byte == UInt8(ascii: "\"") {
                    break
                }
                if byte == UInt8(ascii: "\\"), self.index < self.bytes.count {
                    byte = self.bytes[self.index]
                    raw.append(byte)
                    self.index += 1
                }
                plain.append(byte)
            }
            return (raw, plain)
        }

        private mutating func angleAddress() -> [UInt8] {
            var address: [UInt8] = []
            self.index += 1
            while self.index < self.bytes.count, self.bytes[self.index] != UInt8(ascii: ">") {
                switch self.bytes[self.index] {
                case UInt8(ascii: "\""):
                    address += self.quotedString().raw
                case UInt8(ascii: "("):
                    self.skipComment()
                case let byte:
                    if byte > 0x20 {
                        address.append(byte)
                    }
                    self.index += 1
                }
            }
            self.index += 1
            // A source route is read and dropped (RFC 5322 §4.4).
            if address.first == UInt8(ascii: "@"), let colon = address.firstIndex(of: UInt8(ascii: ":")) {
                address.removeFirst(colon + 1)
            }
            return address
        }

        /// An address literal may hold colons, which would end a group name.
        private mutating func takeLiteral() {
            while self.index < self.bytes.count {
                let byte = self.bytes[self.index]
                self.bare.append(byte)
                self.index += 1
                if byte == UInt8(ascii: "]") {
                    return
                }
            }
        }
    }
}

/// Splits at the last `@`; nil when a part is missing.
private func addressParts(_ bytes: [UInt8]) -> (localPart: String, domain: String)? {
    guard let at = bytes.lastIndex(of: UInt8(ascii: "@")), at > 0, at + 1 < bytes.count, bytes[at + 1] != 0x2E else {
        return nil
    }
    let domain = bytes[(at + 1)...]
    guard domain.allSatisfy({ $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\"") }) else {
        return nil
    }
    return (String(decoding: bytes[..<at], as: UTF8.self), String(decoding: domain, as: UTF8.self))
}
