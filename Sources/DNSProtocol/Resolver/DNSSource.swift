package import MailModel

/// One place that can be asked, as the operator writes it.
package enum DNSSource: Hashable, Sendable, CustomStringConvertible {
    /// The `nameserver` lines of resolv.conf, each a source of its own.
    case system
    /// A server over UDP, and TCP when an answer does not fit.
    case server(IPAddress, port: Int)
    /// DNS over HTTPS (RFC 8484) at an address that needs no lookup; `host` is the name in the certificate.
    case https(host: String, address: IPAddress, port: Int, path: String)

    /// Reads `system`, `8.8.8.8`, `8.8.8.8:5353`, `[2001:db8::1]:53`, `2001:db8::1`, `https://1.1.1.1/dns-query` or
    /// `https://dns.google@8.8.8.8/dns-query`.
    ///
    /// Throws a sentence that says what is wrong and what is expected.
    package init(_ text: String) throws(DNSSourceError) {
        if text == "system" {
            self = .system
        } else if text.lowercased().hasPrefix("https://") {
            self = try Self.https(text)
        } else if let (address, port) = Self.endpoint(text, defaultPort: 53) {
            self = .server(address, port: port)
        } else {
            throw DNSSourceError(
                "\"\(text)\" is not a DNS source: expected system, an address such as 8.8.8.8 or [2001:db8::1]:53, "
                    + "or https://1.1.1.1/dns-query"
            )
        }
    }

    private static func https(_ text: String) throws(DNSSourceError) -> DNSSource {
        let rest = text.dropFirst("https://".count)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        let path = slash == rest.endIndex ? "/dns-query" : String(rest[slash...])
        let parts = authority.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count <= 2, let last = parts.last,
            let (address, port) = self.endpoint(String(last), defaultPort: 443)
        else {
            throw DNSSourceError(
                "\"\(text)\" needs a literal address, since names cannot be resolved before DNS works: write "
                    + "https://1.1.1.1/dns-query or https://dns.google@8.8.8.8/dns-query"
            )
        }
        let host = parts.count == 2 ? String(parts[0]) : "\(address)"
        guard !host.isEmpty else {
            throw DNSSourceError("\"\(text)\" has an empty name before the @")
        }
        return .https(host: host, address: address, port: port, path: path)
    }

    private static func endpoint(_ text: String, defaultPort: Int) -> (IPAddress, Int)? {
        if let address = IPAddress(text) {
            return (address, defaultPort)
        }
        let bracketed = text.hasPrefix("[")
        guard let split = bracketed ? text.firstIndex(of: "]") : text.lastIndex(of: ":") else {
            return nil
        }
        let host = bracketed ? text[text.index(after: text.startIndex)..<split] : text[..<split]
        let tail = text[text.index(after: split)...]
        guard let address = IPAddress(String(host)) else {
            return nil
        }
        if bracketed, tail.isEmpty {
            return (address, defaultPort)
        }
        let digits = bracketed ? tail.dropFirst() : tail
        guard !bracketed || tail.hasPrefix(":"), let port = Int(digits), (1...65_535).contains(port) else {
            return nil
        }
        return (address, port)
    }

    /// The name under which the source appears in records and logs.
    package var description: String {
        switch self {
        case .system:
            "system"
        case .server(let address, 53):
            "\(address)"
        case .server(let address, let port):
            address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
        case .https(let host, let address, let port, let path):
            "https://\(host == "\(address)" ? "" : "\(host)@")"
                + (port == 443 ? "\(address)" : address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)") + path
        }
    }
}

/// Why a text is no DNS source.
package struct DNSSourceError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
