import ArgumentParser
import Gateway

/// Says how the running gateway is.
struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Say how the running gateway is.")

    @OptionGroup var options: ConfigurationOptions
    @Flag(help: "Print JSON.") var json = false

    func run() async throws {
        guard let status = try await askGateway(ControlRequest(.status), self.options).status else {
            throw ExitCode(Sysexits.software)
        }
        print(self.json ? MessageJSON.text(of: status) : status.text)
    }
}

/// For container health checks.
struct Health: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Exit 0 when the gateway runs and answers, 1 when not; for container health checks.",
        discussion: """
            Does not look at providers or DNS: restarting the gateway would not mend those. Of the configuration it needs \
            control-socket or data-directory alone; mistakes elsewhere in it, made since the start, do not count.
            """
    )

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let socket = ConfigurationLoader.controlSocket(
            path: self.options.path,
            environment: SystemEnvironment.current
        )
        do {
            // Whatever it says: even a gateway of another version that does not know the question is alive.
            _ = try await ControlClient.send(ControlRequest(.health), to: socket)
        } catch {
            complain("hikyaku: the gateway does not answer on \(socket): \(error)")
            throw ExitCode.failure
        }
        print("ok")
    }
}
