import ArgumentParser
import Dispatch
import Gateway
import Logging

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Runs the gateway.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the gateway until SIGTERM.",
        discussion: """
            Logs to standard output. Exit status 0 after a clean stop, 78 for a configuration that cannot be used. SIGHUP \
            has DNS asked afresh, reads the listeners' certificates and keys again, and looks at the queue; the \
            configuration is read at start only.
            """
    )

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try self.options.load(checksFiles: true)
        signal(SIGPIPE, SIG_IGN)
        let output = LogOutput()
        output.start()
        defer { output.flush() }
        let logger = Logger(label: "hikyaku") { label in
            LineLogHandler(
                label: label,
                level: configuration.log.level.loggerLevel,
                isJSON: configuration.log.format == .json,
                output: output
            )
        }
        for warning in configuration.warnings {
            logger.warning("\(warning)")
        }
        let stop = StopSignals()
        do {
            let gateway = try await GatewayService(configuration, logger: logger)
            let hangup = Self.onHangup { gateway.lookAgain() }
            defer { hangup.cancel() }
            try await gateway.run(untilStopped: { await stop.wait() })
        } catch {
            logger.critical("cannot start: \(error)")
            output.flush()
            complain("hikyaku: \(error)")
            throw ExitCode(Sysexits.unavailable)
        }
    }
}

extension Serve {
    /// Without a handler SIGHUP would end the process, which nobody wants who sends it to a server.
    private static func onHangup(_ action: @escaping @Sendable () -> Void) -> any DispatchSourceSignal {
        signal(SIGHUP, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGHUP)
        source.setEventHandler(handler: action)
        source.resume()
        return source
    }
}

/// SIGTERM and SIGINT; a second one ends the process at once.
///
/// `@unchecked Sendable`: the sources are made in `init`, only kept alive afterwards, and never touched again.
private final class StopSignals: @unchecked Sendable {
    private let stream: AsyncStream<Void>
    private let sources: [any DispatchSourceSignal]

    init() {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        self.stream = stream
        self.sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler {
                continuation.yield()
                // From now on the signal does what it does by default.
                signal(number, SIG_DFL)
            }
            source.resume()
            return source
        }
    }

    func wait() async {
        for await _ in self.stream {
            return
        }
    }
}

extension LogSettings.Level {
    var loggerLevel: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        }
    }
}
