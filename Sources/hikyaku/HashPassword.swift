import ArgumentParser
import Gateway

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Makes the hash of a password for the configuration.
struct HashPassword: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read a password from the terminal or standard input and print its hash for `users`."
    )

    func run() throws {
        let isTerminal = isatty(STDIN_FILENO) == 1
        var settings = termios()
        if isTerminal {
            complain("Password (not shown):")
            tcgetattr(STDIN_FILENO, &settings)
            var silent = settings
            silent.c_lflag &= ~tcflag_t(ECHO)
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        }
        defer {
            if isTerminal {
                tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings)
            }
        }
        guard let password = readLine(), !password.isEmpty else {
            throw ValidationError("no password was given")
        }
        print(try PasswordHash(of: password))
    }
}
