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
    /// Check the credentials, then call `authenticationFinished(success:)` or `authenticationPutOff()`.
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
    case unread = "replies were not read"
    case crowded = "idle while connections ran short"
    case memory = "memory for messages ran short"
    case guessing = "too many failed authentications from the address"
    case protocolViolation = "protocol violation"
    case timeout
}

/// Why the owner of a session ends it.
package enum SessionCut: Hashable, Sendable {
    /// The client was silent, or slow, for too long.
    case silence
    /// The client does not read what it is told.
    case unread
    /// There are nearly as many connections as there may be, and this one did nothing.
    case crowded
    /// What all clients together send takes too much memory, and this one holds more than its share.
    case memory
    /// Too many failed authentications came from the client's address.
    case guessing

    /// What the client is told at the end.
    package var reply: Reply {
        switch self {
        case .silence: .timedOut
        case .unread: Reply(421, EnhancedStatusCode(4, 4, 2), "replies are not read; closing")
        case .crowded: Reply(421, EnhancedStatusCode(4, 3, 2), "too many connections, idle ones are closed")
        case .memory: Reply(421, EnhancedStatusCode(4, 3, 2), "too many large messages at once, try again later")
        case .guessing: .guessing
        }
    }

    var end: SessionEnd {
        switch self {
        case .silence: .timeout
        case .unread: .unread
        case .crowded: .crowded
        case .memory: .memory
        case .guessing: .guessing
        }
    }
}
