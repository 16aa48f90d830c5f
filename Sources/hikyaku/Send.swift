import ArgumentParser
import Gateway
import MailModel

/// Sends a test message through the running gateway.
struct Send: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send a test message through the running gateway, over SMTP as an application would."
    )

    @OptionGroup var options: ConfigurationOptions
    @Option(help: "The recipient.") var to: String
    @Option(help: "The reverse-path and From (default: hikyaku@ the configured domain).") var from: String?
    @Option(help: "The subject.") var subject = "A test message from Hikyaku"
    @Option(help: "The text.") var body = "This message was sent by `hikyaku send`."

    func run() async throws {
        let configuration = try self.options.load()
        let sender = try Self.mailbox(self.from ?? "hikyaku@\(configuration.domain)", option: "--from")
        let recipient = try Self.mailbox(self.to, option: "--to")
        let listener = configuration.listeners.first { $0.tls != .implicit && $0.auth != .required }
        guard let listener, let address = listener.addresses.first.flatMap(IPAddress.init) else {
            throw ValidationError("no listener takes mail without TLS and login; use your own SMTP client")
        }
        do {
            let reply = try await TestMessage.send(
                from: sender,
                to: recipient,
                subject: self.subject.filter { !$0.isNewline },
                body: self.body,
                through: address.isUnspecified ? IPAddress(address.isIPv6 ? "::1" : "127.0.0.1") ?? address : address,
                port: listener.port
            )
            print(reply.description)
            print("Follow it with: hikyaku trace \(reply.text.split(separator: " ").last ?? "")")
        } catch {
            complain("hikyaku: \(error)")
            throw ExitCode(Sysexits.unavailable)
        }
    }

    private static func mailbox(_ text: String, option: String) throws -> Mailbox {
        guard let at = text.lastIndex(of: "@"), at != text.startIndex, text.index(after: at) != text.endIndex,
            !text.contains(where: { $0.isWhitespace || $0 == "<" || $0 == ">" })
        else {
            throw ValidationError("\(option): \"\(text)\" is not an address such as you@example.com")
        }
        return Mailbox(localPart: String(text[..<at]), domain: MailDomain(String(text[text.index(after: at)...])))
    }
}

extension IPAddress {
    fileprivate var isUnspecified: Bool {
        self == .v4(0) || self == .v6(high: 0, low: 0)
    }
}
