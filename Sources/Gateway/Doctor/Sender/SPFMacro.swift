import MailModel

/// Fills in the macros of a sender policy's domains (RFC 7208 §7).
struct SPFMacro: Sendable {
    let address: IPAddress
    /// `postmaster@` stands in where the reverse-path has no local part.
    let localPart: String
    let senderDomain: String
    let heloName: String

    /// The domain with its macros filled in; nil when one of them is wrong.
    func expand(_ text: String, domain: String) -> String? {
        var output = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            guard character == "%" else {
                output.append(character)
                continue
            }
            switch rest.popFirst() {
            case "%": output += "%"
            case "_": output += " "
            case "-": output += "%20"
            case "{":
                guard let end = rest.firstIndex(of: "}"), let value = self.value(rest[..<end], domain: domain) else {
                    return nil
                }
                output += value
                rest = rest[rest.index(after: end)...]
            default: return nil
            }
        }
        return self.shortened(output)
    }

    /// What one macro between braces stands for: a letter, digits, `r`, delimiters.
    private func value(_ macro: Substring, domain: String) -> String? {
        guard let letter = macro.first?.lowercased() else {
            return nil
        }
        let whole: String
        switch letter {
        case "s": whole = "\(self.localPart)@\(self.senderDomain)"
        case "l": whole = self.localPart
        case "o": whole = self.senderDomain
        case "d": whole = domain
        case "i": whole = self.dotted
        case "p": whole = "unknown"
        case "v": whole = self.address.unmapped.isIPv6 ? "ip6" : "in-addr"
        case "h": whole = self.heloName
        default: return nil
        }
        var rest = macro.dropFirst()
        let digits = rest.prefix(while: \.isNumber)
        rest = rest.dropFirst(digits.count)
        let isReversed = rest.first?.lowercased() == "r"
        if isReversed {
            rest = rest.dropFirst()
        }
        guard rest.allSatisfy({ ".-+,/_=".contains($0) }) else {
            return nil
        }
        let delimiters = rest.isEmpty ? "." : String(rest)
        var parts = whole.split(omittingEmptySubsequences: false) { delimiters.contains($0) }
        if isReversed {
            parts.reverse()
        }
        guard digits.isEmpty || (Int(digits) ?? 0) > 0 else {
            return nil
        }
        return parts.suffix(Int(digits) ?? parts.count).joined(separator: ".")
    }

    private var dotted: String {
        let address = self.address.unmapped
        return address.isIPv6
            ? address.nibbles.map { String($0, radix: 16) }.joined(separator: ".") : address.description
    }

    /// Without labels on the left until it is no longer than a domain may be (RFC 7208 §7.3).
    private func shortened(_ domain: String) -> String {
        var domain = domain[...]
        while domain.utf8.count > 253, let dot = domain.firstIndex(of: ".") {
            domain = domain[domain.index(after: dot)...]
        }
        return String(domain)
    }
}
