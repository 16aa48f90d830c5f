package import MailModel

/// What we take from resolv.conf(5): the servers, since search lists and options do not apply to mail.
package struct ResolvConf: Hashable, Sendable {
    /// The most servers that are used; more than the three of the C library, since each costs only when others fail.
    private static let serverLimit = 8

    package let servers: [IPAddress]

    /// Reads the `nameserver` lines; whatever else stands in the file is passed over.
    package init(_ text: String) {
        var servers: [IPAddress] = []
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count >= 2, words[0] == "nameserver" else {
                continue
            }
            // A link-local address may carry a zone, which our sockets cannot use; without it the rest is still right.
            let text = words[1].split(separator: "%").first.map(String.init) ?? ""
            if let address = IPAddress(text), !servers.contains(address), servers.count < Self.serverLimit {
                servers.append(address)
            }
        }
        self.servers = servers
    }

}
