package import MailModel

/// A command of an SMTP client, parsed (RFC 5321 §4.1.1 and the extensions that the server announces).
package enum Command: Hashable, Sendable {
    case hello(name: String, isExtended: Bool)
    case mail(CommandPath, MailArguments)
    case recipient(CommandPath, RecipientArguments)
    case data
    case chunk(octets: Int, isLast: Bool)
    case reset
    case noop
    case verify
    case help
    case quit
    case startTLS
    /// The mechanism in upper case; the initial response as it stands, in base64 or `=` (RFC 4954 §4).
    case authenticate(mechanism: String, initialResponse: String?)
    /// A verb that exists and that we do not speak, such as EXPN.
    case unimplemented(verb: String)
    /// A line of HTTP: a browser or a request forged to reach us is at the other end.
    case hypertext(verb: String)
}

/// A path as the client wrote it, before a domain is supplied to a bare local-part.
package enum CommandPath: Hashable, Sendable {
    /// `<>`, in MAIL only.
    case null
    case mailbox(localPart: String, domain: String?)

    /// The text between the angle brackets, for replies and logs.
    package var text: String {
        switch self {
        case .null: ""
        case .mailbox(let localPart, let domain): domain.map { "\(localPart)@\($0)" } ?? localPart
        }
    }
}

/// The parameters of MAIL.
package struct MailArguments: Hashable, Sendable {
    package var parameters = MailParameters()
    /// `SIZE=` (RFC 1870), saturated at the largest `Int`.
    package var size: Int?

    package init() {}
}

/// The parameters of RCPT (RFC 3461 §4).
package struct RecipientArguments: Hashable, Sendable {
    package var notify: Notify?
    package var originalRecipient: String?

    package init() {}
}

/// Why a command line was not understood, as the reply that says so.
package struct CommandSyntaxError: Error, Hashable, Sendable {
    package let reply: Reply
    /// Whether what follows cannot be told apart from commands, so that the connection has to end.
    package let endsSession: Bool

    package init(_ reply: Reply, endsSession: Bool = false) {
        self.reply = reply
        self.endsSession = endsSession
    }

    init(_ code: UInt16, _ enhanced: EnhancedStatusCode, _ text: String, endsSession: Bool = false) {
        self.init(Reply(code, enhanced, text), endsSession: endsSession)
    }
}
