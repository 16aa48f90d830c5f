import FoundationEssentials
import Yams

/// The configuration as a tree with line numbers, the environment laid over it, and a list of what was read.
///
/// Confined to the loading of one configuration; it remembers which keys were asked for, so that the rest can be
/// reported as unknown.
final class SettingsTree {
    let source: String
    let environment: [String: String]
    /// Whether files that are named are looked at; who only wants to ask the gateway does without.
    let checksFiles: Bool
    private(set) var problems: [ConfigurationProblem] = []
    private(set) var warnings: [ConfigurationProblem] = []
    /// Environment names that some key has asked for.
    private(set) var knownEnvironment: Set<String> = []
    let root: Node?

    static let environmentPrefix = "HIKYAKU_"

    /// Parses the text of a file; nil stands for no file at all.
    init(
        text: String?,
        source: String,
        environment: [String: String],
        checksFiles: Bool = false
    ) throws(ConfigurationFailure) {
        self.source = source
        self.environment = environment
        self.checksFiles = checksFiles
        guard let text else {
            self.root = nil
            return
        }
        do {
            self.root = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw ConfigurationFailure([Self.problem(error, source)])
        } catch {
            throw ConfigurationFailure([ConfigurationProblem(source: source, message: "\(error)")])
        }
        if let root, root.mapping == nil, root.scalar?.string.isEmpty != true {
            self.report(at: root, "expected keys and values such as `hostname: mail.example.com`")
        }
    }

    private static func problem(_ error: YamlError, _ source: String) -> ConfigurationProblem {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return ConfigurationProblem(source: source, line: mark.line, message: "not valid YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.map { "\"\($0)\"" }.joined(separator: ", ")
            return ConfigurationProblem(
                source: source,
                line: context.mark.line,
                message: "\(names) stands here twice; keep one"
            )
        case .reader(let problem, let offset, _, let yaml):
            // Without the line itself: a password may stand there.
            let line = offset.map { yaml.prefix($0).count { $0.isNewline } + 1 }
            return ConfigurationProblem(source: source, line: line, message: "not valid YAML: \(problem)")
        default:
            return ConfigurationProblem(source: source, message: "not valid YAML")
        }
    }

    /// A variable that other tools know, too; nil also where it is set to nothing, as compose files do.
    func foreign(_ name: String) -> String? {
        self.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    func report(at node: Node?, _ message: String) {
        self.problems.append(ConfigurationProblem(source: self.source, line: node?.mark?.line, message: message))
    }

    func report(environment name: String, _ message: String) {
        self.problems.append(ConfigurationProblem(source: "environment", message: "\(name): \(message)"))
    }

    func warn(at node: Node? = nil, _ message: String) {
        self.warnings.append(ConfigurationProblem(source: self.source, line: node?.mark?.line, message: message))
    }

    func markKnown(environment name: String) {
        self.knownEnvironment.insert(name)
    }

    /// Reports `HIKYAKU_` names that no key has asked for.
    func reportUnknownEnvironment(besides others: Set<String>) {
        let unknown = self.environment.keys.filter {
            $0.hasPrefix(Self.environmentPrefix) && !self.knownEnvironment.contains($0) && !others.contains($0)
                && !Self.isServiceLink($0)
        }
        for name in unknown.sorted() {
            let hint = nearest(to: name, among: self.knownEnvironment).map { "; did you mean \($0)?" } ?? ""
            self.report(environment: name, "is no setting of Hikyaku\(hint)")
        }
    }

    /// Warns of variables of a Postfix container that say nothing here: whoever set them counts on them.
    func warnOfPostfix(besides understood: Set<String>) {
        let prefix = "POSTFIX_"
        let unused = self.environment.filter { name, value in
            name.hasPrefix(prefix) && !value.isEmpty && !understood.contains(name)
                && !Self.isServiceLink(name, prefix: prefix)
        }.keys.sorted()
        if !unused.isEmpty {
            self.warn("settings of Postfix are not understood and not used: \(unused.joined(separator: ", "))")
        }
    }

    /// Whether a name is one of those that Kubernetes gives to all beside a Service called hikyaku: `HIKYAKU_PORT_25_TCP_ADDR`.
    private static func isServiceLink(_ name: String, prefix: String = SettingsTree.environmentPrefix) -> Bool {
        let rest = name.dropFirst(prefix.count)
        if rest == "PORT" || rest == "SERVICE_HOST" || rest.hasPrefix("SERVICE_PORT") {
            return true
        }
        let words = rest.split(separator: "_")
        return words.count >= 3 && words[0] == "PORT" && Int(words[1]) != nil && ["TCP", "UDP"].contains(words[2])
    }
}
