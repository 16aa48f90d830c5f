import FoundationEssentials
import MailModel
import Yams

/// One mapping of the configuration: reads its keys, the environment first, and knows which ones exist.
final class SettingsSection {
    let tree: SettingsTree
    let path: [String]
    let node: Node?
    private var known: Set<String> = []

    init(_ tree: SettingsTree, path: [String] = [], node: Node?) {
        self.tree = tree
        self.path = path
        self.node = node
        // Of the whole file the tree has said it already.
        if let node, node.mapping == nil, !node.isNull, !path.isEmpty {
            tree.report(at: node, "\(path.joined(separator: ".")): expected keys and values beneath it")
        }
    }

    /// A value as text, and where it came from.
    struct Raw {
        var text: String
        var node: Node?
        var environmentName: String?
    }

    func name(of key: String) -> String {
        (self.path + [key]).joined(separator: ".")
    }

    func environmentName(of key: String) -> String {
        let words = (self.path + [key]).joined(separator: "_").uppercased()
        return SettingsTree.environmentPrefix + words.map { $0 == "-" || $0 == "." ? "_" : String($0) }.joined()
    }

    /// The node of a key in the file, whatever the environment says.
    func child(_ key: String) -> Node? {
        self.known.insert(key)
        guard let child = self.node?.mapping?[key], !child.isNull else {
            return nil
        }
        return child
    }

    /// The section beneath a key.
    func section(_ key: String) -> SettingsSection {
        SettingsSection(self.tree, path: self.path + [key], node: self.child(key))
    }

    /// The names beneath a key that the operator chose, in the order of the file.
    func names(_ key: String) -> [String] {
        self.child(key)?.mapping?.keys.compactMap(\.scalar?.string) ?? []
    }

    /// The value of a key: the environment's, else the file's, else nil.
    func raw(_ key: String) -> Raw? {
        let environmentName = self.environmentName(of: key)
        self.tree.markKnown(environment: environmentName)
        let child = self.child(key)
        if let text = self.tree.environment[environmentName] {
            return Raw(text: text, environmentName: environmentName)
        }
        guard let child else {
            return nil
        }
        guard let scalar = child.scalar else {
            self.tree.report(at: child, "\(self.name(of: key)): expected one value")
            return nil
        }
        return Raw(text: scalar.string, node: child)
    }

    func report(_ key: String, _ raw: Raw?, _ message: String) {
        if let name = raw?.environmentName {
            self.tree.report(environment: name, message)
        } else {
            self.tree.report(at: raw?.node ?? self.node, "\(self.name(of: key)): \(message)")
        }
    }

    /// Reads a value with a parser that returns nil for what it does not accept.
    func value<Value>(_ key: String, expected: String, _ parse: (String) -> Value?) -> Value? {
        guard let raw = self.raw(key) else {
            return nil
        }
        guard let value = parse(raw.text) else {
            self.report(key, raw, "expected \(expected), found \"\(raw.text.prefix(80))\"")
            return nil
        }
        return value
    }

    func text(_ key: String) -> String? {
        self.value(key, expected: "text") { $0.isEmpty ? nil : $0 }
    }

    func bool(_ key: String) -> Bool? {
        self.value(key, expected: "true or false") { text in
            switch text.lowercased() {
            case "true", "yes", "on", "1": true
            case "false", "no", "off", "0": false
            default: nil
            }
        }
    }

    func integer(_ key: String, _ range: ClosedRange<Int>) -> Int? {
        self.value(key, expected: "a number from \(range.lowerBound) to \(range.upperBound)") { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// The path of a file; what is wrong with it is reported where files are looked at.
    func file(_ key: String, trouble: (String) -> String?) -> String? {
        let path = self.text(key)
        if let path, self.tree.checksFiles, let why = trouble(path) {
            self.report(key, self.raw(key), why)
        }
        return path
    }

    /// A span of time, not shorter than the least that makes sense.
    func duration(_ key: String, atLeast least: Duration = .zero) -> Duration? {
        let bound = least > .zero ? " and at least \(humanDuration(least))" : ""
        return self.value(key, expected: "a time such as 30s, 5m, 2h or 4d\(bound)") { text in
            Duration(configured: text).flatMap { $0 < least ? nil : $0 }
        }
    }

    /// Octets, not fewer than the least that makes sense.
    func size(_ key: String, atLeast least: Int = 0) -> Int? {
        let bound = least > 0 ? " and at least \(humanSize(least))" : ""
        return self.value(key, expected: "a size such as 25MiB or 500KB\(bound)") { text in
            sizeInOctets(text).flatMap { $0 < least ? nil : $0 }
        }
    }

    func choice<Value: RawRepresentable & CaseIterable>(_ key: String, _ type: Value.Type) -> Value?
    where Value.RawValue == String {
        let words = Value.allCases.map(\.rawValue)
        return self.value(key, expected: "one of \(words.joined(separator: ", "))") { Value(rawValue: $0.lowercased()) }
    }

    /// A list, or a single value; in the environment words are separated by commas.
    func list(_ key: String) -> [Raw]? {
        let environmentName = self.environmentName(of: key)
        self.tree.markKnown(environment: environmentName)
        let child = self.child(key)
        if let text = self.tree.environment[environmentName] {
            return text.split(separator: ",").map {
                Raw(text: $0.split(separator: " ").joined(separator: " "), environmentName: environmentName)
            }
        }
        guard let child else {
            return nil
        }
        guard let sequence = child.sequence else {
            return child.scalar.map { [Raw(text: $0.string, node: child)] }
        }
        return sequence.compactMap { item in
            guard let scalar = item.scalar else {
                self.tree.report(at: item, "\(self.name(of: key)): expected a list of single values")
                return nil
            }
            return Raw(text: scalar.string, node: item)
        }
    }

    /// A credential: the value itself, or the path of a file that holds it, under the key with `-file` behind it.
    ///
    /// - Parameters:
    ///   - key: Without `-file`.
    ///   - aliases: Environment names that other tools use for the same thing, such as `SENDGRID_API_KEY`.
    /// - Returns: Nil when it is not set, or could not be read (which has been reported).
    func secret(_ key: String, aliases: [String] = []) -> Secret? {
        let fileKey = key + "-file"
        let fileRaw = self.raw(fileKey)
        if let raw = self.raw(key) {
            if let fileRaw {
                self.report(fileKey, fileRaw, "\(self.name(of: key)) is set, too; keep one of them")
            }
            if raw.text.isEmpty {
                self.report(key, raw, "is empty")
            }
            let origin = raw.environmentName.map { Secret.Origin.environment($0) } ?? .configuration
            return Secret(raw.text, origin: origin)
        }
        if let fileRaw {
            return self.readSecret(fileKey, fileRaw)
        }
        for alias in aliases {
            let raw = self.tree.foreign(alias + "_FILE").map { Raw(text: $0, environmentName: alias + "_FILE") }
            if let value = self.tree.foreign(alias) {
                if let raw {
                    self.report(fileKey, raw, "\(alias) is set, too; keep one of them")
                }
                return Secret(value, origin: .environment(alias))
            }
            if let raw {
                return self.readSecret(fileKey, raw)
            }
        }
        return nil
    }

    /// What another tool's variable says, or the first line of the file that it names with `_FILE` behind it.
    func foreign(_ name: String, for key: String) -> String? {
        if let value = self.tree.foreign(name) {
            return value
        }
        let fileName = name + "_FILE"
        return self.tree.foreign(fileName).flatMap { path in
            self.firstLine(key, Raw(text: path, environmentName: fileName))
        }
    }

    /// The first line of the file that is named; what is wrong with it is reported.
    private func firstLine(_ key: String, _ raw: Raw) -> String? {
        guard let text = try? String(contentsOfFile: raw.text, encoding: .utf8) else {
            self.report(key, raw, "\(raw.text) cannot be read; check the path and its permissions")
            return nil
        }
        let value = text.prefix { !$0.isNewline }
        guard !value.isEmpty else {
            self.report(key, raw, "\(raw.text) is empty")
            return nil
        }
        return String(value)
    }

    private func readSecret(_ key: String, _ raw: Raw) -> Secret? {
        guard let value = self.firstLine(key, raw) else {
            return nil
        }
        let isOpen = SystemEnvironment.permissions(of: raw.text).map { $0 & 0o077 != 0 } ?? false
        if isOpen, !raw.text.hasPrefix("/run/secrets/") {
            self.tree.warn(at: raw.node, "\(raw.text) can be read by others; chmod 600 it")
        }
        return Secret(value, origin: .file(raw.text))
    }

    /// Reports keys of the file that nobody has asked for; called when all have.
    func finish() {
        for (key, value) in self.node?.mapping ?? [:] {
            guard let key = key.scalar else {
                self.tree.report(at: value, "expected a plain key")
                continue
            }
            if !self.known.contains(key.string) {
                let hint = nearest(to: key.string, among: self.known).map { "; did you mean \"\($0)\"?" } ?? ""
                let mark = self.node?.mapping?.keys.first { $0.scalar?.string == key.string } ?? value
                self.tree.report(at: mark, "\(self.name(of: key.string)) is no setting of Hikyaku\(hint)")
            }
        }
    }
}

extension Node {
    /// `key:` with nothing behind it.
    fileprivate var isNull: Bool {
        self.scalar.map { $0.string.isEmpty || $0.string == "~" || $0.string == "null" } ?? false
    }
}

extension Duration {
    /// Reads `30s`, `1.5s`, `250ms`, `5m`, `2h` or `4d`; nil for anything else, negative and bare numbers included.
    init?(configured text: String) {
        let units: [(String, Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
        for (suffix, factor) in units where text.hasSuffix(suffix) {
            let digits = text.dropLast(suffix.count)
            guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
                let number = Double(digits), number * factor <= 100 * 365 * 86_400
            else {
                continue
            }
            self = .milliseconds(Int64((number * factor * 1_000).rounded()))
            return
        }
        if text == "0" {
            self = .zero
            return
        }
        return nil
    }
}

/// Reads `25MiB`, `25MB`, `64KiB`, `1GB` or a bare number of octets.
func sizeInOctets(_ text: String) -> Int? {
    let units = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000),
        ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("B", 1), ("", 1),
    ]
    for (suffix, factor) in units where text.lowercased().hasSuffix(suffix.lowercased()) {
        let digits = text.dropLast(suffix.count).trimmingSuffix(while: { $0 == " " })
        guard let number = Int(digits), number >= 0 else {
            continue
        }
        let (size, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : size
    }
    return nil
}

extension Substring {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> Substring {
        var rest = self
        while let last = rest.last, predicate(last) {
            rest = rest.dropLast()
        }
        return rest
    }
}
