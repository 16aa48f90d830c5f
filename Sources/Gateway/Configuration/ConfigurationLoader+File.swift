import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension ConfigurationLoader {
    /// Loads a file, or the environment alone when `path` is nil and there is nothing at the default path.
    ///
    /// With `checksFiles` the certificates and keys that it names are looked at, too.
    package static func load(
        path: String?,
        environment: [String: String],
        checksFiles: Bool = false,
        defaultPath: String = Self.defaultPath
    ) throws(ConfigurationFailure) -> GatewayConfiguration {
        let given = path ?? environment["HIKYAKU_CONFIG"]
        let file = given ?? defaultPath
        guard let text = try self.text(of: file, isRequired: given != nil) else {
            return try self.parse(nil, source: "environment", environment: environment, checksFiles: checksFiles)
        }
        let name = file.split(separator: "/").last.map(String.init) ?? file
        var configuration = try self.parse(
            text,
            source: name,
            environment: environment,
            checksFiles: checksFiles
        )
        configuration.source = file
        return configuration
    }

    /// Where the gateway answers, whatever else is wrong with the configuration.
    ///
    /// For health checks: a mistake that was written since the start is no reason to end a gateway that runs well.
    package static func controlSocket(
        path: String?,
        environment: [String: String],
        defaultPath: String = Self.defaultPath
    ) -> String {
        let file = path ?? environment["HIKYAKU_CONFIG"] ?? defaultPath
        // What cannot be read or parsed says nothing, and then the environment or the default has it.
        let text = try? self.text(of: file, isRequired: false)
        guard
            let tree = (try? SettingsTree(text: text, source: file, environment: environment))
                ?? (try? SettingsTree(text: nil, source: file, environment: environment))
        else {
            return self.socket(in: self.defaultDirectory)
        }
        let loader = ConfigurationLoader(tree: tree, root: SettingsSection(tree, node: tree.root))
        let directory = loader.root.text("data-directory") ?? self.defaultDirectory
        return loader.controlSocket() ?? self.socket(in: directory)
    }

    static func socket(in directory: String) -> String {
        "\(directory)/hikyaku.sock"
    }

    /// The text of a file; nil when there is none and none is required.
    ///
    /// One that is there and may not be read is never taken for none: the gateway would start as another one.
    private static func text(of file: String, isRequired: Bool) throws(ConfigurationFailure) -> String? {
        let failure = { (why: String) in
            ConfigurationFailure([ConfigurationProblem(source: file, message: "cannot be read: \(why)")])
        }
        guard access(file, R_OK) == 0 else {
            let code = errno
            if !isRequired, code == ENOENT || code == ENOTDIR {
                return nil
            }
            let user = code == EACCES ? " for user \(geteuid())" : ""
            throw failure("\(String(cString: strerror(code)))\(user)")
        }
        guard let data = FileManager.default.contents(atPath: file) else {
            throw failure("it is no file")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw failure("it is not in UTF-8")
        }
        return text
    }
}
