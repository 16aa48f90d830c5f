import MailModel

/// Where a service is asked: the checked parts of its base URL.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// The name or the address, without port.
    package let host: String
    /// Nil: the scheme's own.
    package let port: Int?
    /// Without a final slash; empty for the root.
    package let path: String
    /// `http` is for tests and for doubles of a service on the same machine.
    package let isClearText: Bool

    /// Reads `https://host[:port][/path]`; nil for anything else, user names and queries included.
    ///
    /// - Parameters:
    ///   - text: The URL.
    ///   - allowsClearText: Accept `http` too.
    package init?(_ text: String, allowsClearText: Bool = false) {
        let isClearText = text.hasPrefix("http://")
        guard text.hasPrefix("https://") || (isClearText && allowsClearText) else {
            return nil
        }
        let rest = text.dropFirst(isClearText ? 7 : 8)
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3F && $0 != 0x23 }) else {
            return nil
        }
        let literalEnd = authority.hasPrefix("[") ? authority.firstIndex(of: "]") : nil
        let nameEnd =
            literalEnd.map { authority.index(after: $0) } ?? authority.firstIndex(of: ":") ?? authority.endIndex
        let name = authority[..<nameEnd]
        let suffix = authority[nameEnd...]
        guard suffix.isEmpty || suffix.hasPrefix(":"), isHost(name) else {
            return nil
        }
        let port = suffix.isEmpty ? nil : UInt16(suffix.dropFirst()).map(Int.init)
        guard suffix.isEmpty || (port ?? 0) > 0 else {
            return nil
        }
        self.host = name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : String(name)
        self.port = port
        self.path = path.hasSuffix("/") ? String(path.dropLast()) : String(path)
        self.isClearText = isClearText
    }

    /// The URL of a path below the base, which begins with a slash.
    func url(_ path: String) -> String {
        "\(self.description)\(path)"
    }

    package var description: String {
        let name = self.host.utf8.contains(UInt8(ascii: ":")) ? "[\(self.host)]" : self.host
        let port = self.port.map { ":\($0)" } ?? ""
        return "\(self.isClearText ? "http" : "https")://\(name)\(port)\(self.path)"
    }
}

private func isHost(_ name: Substring) -> Bool {
    if name.hasPrefix("["), name.hasSuffix("]") {
        return IPAddress(String(name.dropFirst().dropLast())) != nil
    }
    return isDomainName(name)
}

/// Letters, digits, hyphens, underscores and dots, and so harmless in a URL.
func isDomainName(_ name: some StringProtocol) -> Bool {
    (1...253).contains(name.utf8.count) && name.utf8.first != UInt8(ascii: ".") && !name.contains("..")
        && name.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
            default: false
            }
        }
}
