/// A public key as a domain publishes it for signatures (RFC 6376 §3.6.1).
enum DKIMKey: Hashable, Sendable {
    /// A key of this type, such as `rsa`, with the octets of its encoding.
    case present(type: String, octets: Int)
    /// `p=` is empty: the key was withdrawn.
    case revoked
    case broken

    /// Reads a TXT record; nil when it is no key at all.
    init?(_ text: String) {
        var tags: [String: String] = [:]
        for part in text.split(separator: ";") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 {
                tags[pair[0].trimmed] = pair[1].trimmed
            }
        }
        guard tags["v"] == "DKIM1" || tags["v"] == nil, let key = tags["p"] else {
            return nil
        }
        let characters = key.filter { !$0.isWhitespace }
        guard !characters.isEmpty else {
            self = .revoked
            return
        }
        guard characters.utf8.allSatisfy(Self.isBase64) else {
            self = .broken
            return
        }
        let padding = characters.utf8.count { $0 == UInt8(ascii: "=") }
        self = .present(type: tags["k"]?.lowercased() ?? "rsa", octets: (characters.utf8.count - padding) * 3 / 4)
    }

    /// An RSA key of 1024 bits takes 162 octets with its frame; some receivers no longer count shorter ones.
    var isWeak: Bool {
        switch self {
        case .present(let type, let octets): type == "rsa" && octets < 162
        case .revoked, .broken: false
        }
    }

    private static func isBase64(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="):
            true
        default: false
        }
    }
}
