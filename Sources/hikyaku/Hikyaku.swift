import ArgumentParser
import Gateway

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The command line.
@main
struct Hikyaku: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hikyaku",
        abstract: "An SMTP relay gateway that delivers by the best way that works right now.",
        version: GatewayService.version,
        subcommands: [
            Serve.self, Config.self, Queue.self, Trace.self, Send.self, DNS.self, TLS.self, Provider.self, Status.self,
            Health.self, Doctor.self, Store.self, TakeOver.self, HashPassword.self, Version.self,
        ]
    )
}

/// Prints the version.
struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the version.")

    func run() {
        print("hikyaku \(GatewayService.version)")
    }
}

/// What most commands take.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: "The configuration file (default: $HIKYAKU_CONFIG, /etc/hikyaku/hikyaku.yaml)."
    )
    var path: String?

    /// Loads the configuration, or prints all that is wrong with it and exits with 78 (EX_CONFIG).
    ///
    /// With `checksFiles` the certificates and keys that it names are part of it.
    func load(checksFiles: Bool = false) throws -> GatewayConfiguration {
        do {
            return try ConfigurationLoader.load(
                path: self.path,
                environment: SystemEnvironment.current,
                checksFiles: checksFiles
            )
        } catch {
            complain(error.description)
            throw ExitCode(Sysexits.configuration)
        }
    }
}

/// Prints to standard error.
func complain(_ text: String) {
    _ = (text + "\n").withCString { write(STDERR_FILENO, $0, strlen($0)) }
}

/// Whether standard output is a terminal that wants colours.
var usesColours: Bool {
    isatty(STDOUT_FILENO) == 1 && SystemEnvironment.current["NO_COLOR"] == nil
}

/// Exit codes of sysexits.h.
enum Sysexits {
    static let dataError: Int32 = 65
    static let unavailable: Int32 = 69
    static let software: Int32 = 70
    static let configuration: Int32 = 78
}
