package import MailModel

/// One place that can be asked, as the operator writes it.
package enum DNSSource: Hashable, Sendable, CustomStringConvertible {
    /// The `nameserver` lines of resolv.conf, each a source of its own.
    case system
    /// A server over UDP, and TCP when an answer does not fit.
    case server(IPAddress, port: Int)
    /// DNS over TLS (RFC 7858) at an address that needs no lookup; `host` is the name in the certificate.
    case tls(host: String, address: IPAddress, port: Int)
    /// DNS over HTTPS (RFC 8484) at an address that needs no lookup; `host` is the name in the certificate.
    case https(host: String, address: IPAddress, port: Int, path: String)

    /// Reads `system`, `8.8.8.8`, `8.8.8.8:5353`, `[2001:db8::1]:53`, `2001:db8::1`, `tls://1.1.1.1`,
    /// `tls://dns.google@8.8.8.8:853`, `https://1.1.1.1/dns-query` or `https://dns.google@8.8.8.8/dns-query`.
    ///
    /// Throws a sentence that says what is wrong and what is expected.
    package init(_ text: String) throws(DNSSourceError) {
        if text == "system" {
            self = .system
        } else if text.lowercased().hasPrefix("https://") {
            self = try Self.https(text)
        } else if text.lowercased().hasPrefix("tls://") {
            self = try Self.tls(text)
        } else if let (address, port) = Self.endpoint(text, defaultPort: 53) {
            self = .server(address, port: port)
        } else {
            throw DNSSourceError(
                "\"\(text)\" is not a DNS source: expected system, an address such as 8.8.8.8 or [2001:db8::1]:53, "
                    + "tls://1.1.1.1 or https://1.1.1.1/dns-query"
            )
        }
    }

    private static func https(_ text: String) throws(DNSSourceError) -> DNSSource {
        let rest = text.dropFirst("https://".count)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let path = slash == rest.endIndex ? "/dns-query" : String(rest[slash...])
        guard let (host, address, port) = try self.authority(rest[..<slash], in: text, defaultPort: 443) else {
            throw DNSSourceError(
                "\"\(text)\" needs a literal address, since names cannot be resolved before DNS works: write "
                    + "https://1.1.1.1/dns-query or https://dns.google@8.8.8.8/dns-query"
            )
        }
        return .https(host: host, address: address, port: port, path: path)
    }

    private static func tls(_ text: String) throws(DNSSourceError) -> DNSSource {
        let rest = text.dropFirst("tls://".count)
        guard let (host, address, port) = try self.authority(rest, in: text, defaultPort: 853) else {
            throw DNSSourceError(
                "\"\(text)\" needs a literal address, since names cannot be resolved before DNS works: write "
                    + "tls://1.1.1.1 or tls://dns.google@8.8.8.8"
            )
        }
        guard host == "\(address)" || IPAddress(host) == nil else {
            throw DNSSourceError("\"\(text)\" has another address before the @, where the certificate's name belongs")
        }
        return .tls(host: host, address: address, port: port)
    }

    /// `1.1.1.1`, `dns.google@8.8.8.8:443`; nil where there is no literal address.
    private static func authority(
        _ authority: Substring,
        in text: String,
        defaultPort: Int
    ) throws(DNSSourceError) -> (host: String, IPAddress, port: Int)? {
        let parts = authority.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count <= 2, let last = parts.last,
            let (address, port) = self.endpoint(String(last), defaultPort: defaultPort)
        else {
            return nil
        }
        let host = parts.count == 2 ? String(parts[0]) : "\(address)"
        guard !host.isEmpty else {
            throw DNSSourceError("\"\(text)\" has an empty name before the @")
        }
        return (host, address, port)
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
        case .server(let address, let port):
            Self.place(address, port, defaultPort: 53)
        case .tls(let host, let address, let port):
            "tls://\(Self.prefix(host, address))\(Self.place(address, port, defaultPort: 853))"
        case .https(let host, let address, let port, let path):
            "https://\(Self.prefix(host, address))\(Self.place(address, port, defaultPort: 443))\(path)"
        }
    }

    private static func prefix(_ host: String, _ address: IPAddress) -> String {
        host == "\(address)" ? "" : "\(host)@"
    }

    private static func place(_ address: IPAddress, _ port: Int, defaultPort: Int) -> String {
        let isDefault = port == defaultPort
        return isDefault ? "\(address)" : address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
}

/// Why a text is no DNS source.
package struct DNSSourceError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
