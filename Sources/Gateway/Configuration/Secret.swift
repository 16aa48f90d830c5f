/// A credential that does not print: not in logs, not in errors, not in dumps of what holds it.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Where it came from, for `config show`.
    package enum Origin: Hashable, Sendable, CustomStringConvertible {
        case configuration
        case environment(String)
        case file(String)

        package var description: String {
            switch self {
            case .configuration: "from the configuration file"
            case .environment(let name): "from \(name)"
            case .file(let path): "from \(path)"
            }
        }
    }

    /// The credential itself; read only where it is used.
    package let value: String
    package let origin: Origin

    package init(_ value: String, origin: Origin) {
        self.value = value
        self.origin = origin
    }

    package var description: String {
        "set (\(self.origin))"
    }

    package var debugDescription: String {
        self.description
    }

    package var customMirror: Mirror {
        Mirror(self, children: [])
    }
}
