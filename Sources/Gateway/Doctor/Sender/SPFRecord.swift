import MailModel

/// A published sender policy (RFC 7208), parsed: domains may still hold macros.
struct SPFRecord: Hashable, Sendable {
    enum Qualifier: Character, Hashable, Sendable {
        case pass = "+"
        case fail = "-"
        case softfail = "~"
        case neutral = "?"
    }

    /// A domain with the lengths of prefixes in which any address of it matches.
    struct Hosts: Hashable, Sendable {
        /// Nil: the domain whose policy this is.
        var domain: String?
        /// 0 to 32.
        var length4 = 32
        /// 0 to 128.
        var length6 = 128
    }

    enum Mechanism: Hashable, Sendable {
        case all
        case include(String)
        case a(Hosts)
        case mx(Hosts)
        case ptr(String?)
        case network(CIDRBlock)
        case exists(String)
    }

    struct Term: Hashable, Sendable {
        var qualifier: Qualifier
        var mechanism: Mechanism
    }

    /// A record that cannot be read, in words.
    struct SyntaxError: Error, Hashable {
        let text: String
    }

    var terms: [Term] = []
    var redirect: String?

    /// Whether a TXT record is a sender policy at all.
    static func isPolicy(_ text: String) -> Bool {
        let lower = text.lowercased()
        return lower == "v=spf1" || lower.hasPrefix("v=spf1 ")
    }

    /// Reads the whole record, which begins with `v=spf1`.
    init(_ text: String) throws(SyntaxError) {
        for word in text.split(separator: " ").dropFirst() {
            if let equals = word.firstIndex(of: "="), word[..<equals].allSatisfy(Self.isNameCharacter) {
                let value = String(word[word.index(after: equals)...])
                if word[..<equals].lowercased() == "redirect" {
                    self.redirect = value
                }
                // Other modifiers change nothing (RFC 7208 §6).
                continue
            }
            self.terms.append(try Self.term(word))
        }
    }

    private static func isNameCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "-_.".contains(character))
    }

    private static func term(_ word: Substring) throws(SyntaxError) -> Term {
        var rest = word
        var qualifier = Qualifier.pass
        if let first = rest.first, let given = Qualifier(rawValue: first) {
            qualifier = given
            rest = rest.dropFirst()
        }
        let end = rest.firstIndex { $0 == ":" || $0 == "/" } ?? rest.endIndex
        let name = rest[..<end].lowercased()
        let hasDomain = end < rest.endIndex && rest[end] == ":"
        let argument = String(hasDomain ? rest[rest.index(after: end)...] : rest[end...])
        let error = SyntaxError(text: "\"\(word.prefix(60))\" is not understood")
        guard let mechanism = self.mechanism(name, argument, hasDomain: hasDomain) else {
            throw error
        }
        return Term(qualifier: qualifier, mechanism: mechanism)
    }

    private static func mechanism(_ name: String, _ argument: String, hasDomain: Bool) -> Mechanism? {
        switch name {
        case "all": return argument.isEmpty && !hasDomain ? .all : nil
        case "include": return hasDomain && !argument.isEmpty ? .include(argument) : nil
        case "exists": return hasDomain && !argument.isEmpty ? .exists(argument) : nil
        case "ptr": return hasDomain == !argument.isEmpty ? .ptr(hasDomain ? argument : nil) : nil
        case "a": return self.hosts(argument, hasDomain: hasDomain).map(Mechanism.a)
        case "mx": return self.hosts(argument, hasDomain: hasDomain).map(Mechanism.mx)
        case "ip4":
            guard let block = CIDRBlock(argument), !block.base.isIPv6 else { return nil }
            return .network(block)
        case "ip6":
            guard let block = CIDRBlock(argument), block.base.isIPv6 else { return nil }
            return .network(block)
        default: return nil
        }
    }

    /// Reads `example.com/24//64`, each part of which may be missing.
    private static func hosts(_ argument: String, hasDomain: Bool) -> Hosts? {
        // A macro may hold a slash between braces; lengths stand behind the last one.
        let brace = argument.lastIndex(of: "}") ?? argument.startIndex
        let slash = argument[brace...].firstIndex(of: "/") ?? argument.endIndex
        var hosts = Hosts(domain: hasDomain ? String(argument[..<slash]) : nil)
        guard hosts.domain?.isEmpty != true, hasDomain || slash == argument.startIndex else {
            return nil
        }
        let lengths = argument[slash...].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        switch lengths.count {
        case 0, 1: return hosts
        case 2, 4:
            guard let length = Int(lengths[1]), (0...32).contains(length) else { return nil }
            hosts.length4 = length
        case 3: guard lengths[1].isEmpty else { return nil }
        default: return nil
        }
        if lengths.count > 2 {
            guard lengths[lengths.count - 2].isEmpty, let length = Int(lengths[lengths.count - 1]),
                (0...128).contains(length)
            else {
                return nil
            }
            hosts.length6 = length
        }
        return hosts
    }
}
