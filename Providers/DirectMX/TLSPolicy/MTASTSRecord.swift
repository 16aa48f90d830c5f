/// The TXT record at `_mta-sts.DOMAIN` that says that the domain has a policy, and when it changed (RFC 8461 §3.1).
struct MTASTSRecord: Hashable, Sendable {
    /// 1 to 32 letters and digits; another one means another policy.
    let id: String

    /// Reads the TXT records of the name; nil unless exactly one is of this kind, and is as it should be.
    init?(_ texts: [String]) {
        let records = texts.filter { text in
            text.hasPrefix("v=STSv1") && text.dropFirst(7).first { $0 != " " && $0 != "\t" } == ";"
        }
        guard records.count == 1 else {
            return nil
        }
        let fields = records[0].split(separator: ";").dropFirst().map(trimmed)
        guard let field = fields.first(where: { $0.hasPrefix("id=") }) else {
            return nil
        }
        let id = field.dropFirst(3)
        guard (1...32).contains(id.utf8.count), id.utf8.allSatisfy(isAlphanumeric) else {
            return nil
        }
        self.id = String(id)
    }
}

private func isAlphanumeric(_ octet: UInt8) -> Bool {
    switch octet {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    default: false
    }
}

/// Without the spaces and tabs around it.
func trimmed(_ text: Substring) -> Substring {
    let start = text.drop { $0 == " " || $0 == "\t" }
    guard let last = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else {
        return ""
    }
    return start[...last]
}
