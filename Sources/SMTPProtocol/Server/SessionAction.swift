package import MailModel

/// What the owner of a `ServerSession` has to do next.
package enum SessionAction: Hashable, Sendable {
    case send(Reply)
    /// Hold the reply back for a while, and ask for no further action before it is sent.
    case sendDelayed(Reply)
    /// Send a refusal of policy; it deserves a log line.
    case refuse(Reply, SessionRefusal)
    /// Send the reply, drop every octet already read, then start TLS and call `tlsDidStart()`.
    case startTLS(Reply)
    /// Check the credentials, then call `authenticationFinished(success:)`.
    case authenticate(ServerCredentials)
    /// Content begins: send the reply, if there is one, and keep what `next` appends from now on.
    case beginContent(Envelope, Reply?)
    /// The content is complete and sound: take the message, then call `submissionFinished(_:)`.
    case submit
    /// Drop the content collected so far and send the reply.
    case dropContent(Reply)
    /// Send the reply and close.
    case close(Reply, SessionEnd)
}

/// Which rule of policy refused a command.
package enum SessionRefusal: Hashable, Sendable {
    case relayDenied(String)
    case authenticationRequired
    case authenticationFailed(user: String)
}

/// Why the server ended a session.
package enum SessionEnd: String, Hashable, Sendable {
    case quit
    case shutdown
    case lineEnds = "bare CR or LF"
    case lineTooLong = "line too long"
    case hypertext = "HTTP request"
    case tlsOnClearText = "TLS on a clear-text port"
    case tooManyErrors = "too many errors"
    case tooManyCommands = "too many commands without mail"
    case tooManyTransactions = "too many messages"
    case authenticationFailures = "too many failed authentications"
    case contentTooLarge = "content far over the limit"
    case protocolViolation = "protocol violation"
    case timeout
}
