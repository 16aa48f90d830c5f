import MailModel

/// The replies of the server that are the same for everybody.
extension Reply {
    static let ok = Reply(250, EnhancedStatusCode(2, 0, 0), "Ok")
    static let okSender = Reply(250, EnhancedStatusCode(2, 1, 0), "Ok")
    static let okRecipient = Reply(250, EnhancedStatusCode(2, 1, 5), "Ok")
    static let startContent = Reply(354, nil, "End data with <CR><LF>.<CR><LF>")
    static let bye = Reply(221, EnhancedStatusCode(2, 0, 0), "Bye")
    static let readyForTLS = Reply(220, EnhancedStatusCode(2, 0, 0), "Ready to start TLS")
    static let cannotVerify = Reply(
        252,
        EnhancedStatusCode(2, 0, 0),
        "Cannot verify a user, but will accept mail and try to deliver"
    )
    static let help = Reply(
        214,
        EnhancedStatusCode(2, 0, 0),
        "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH"
    )
    static let authenticated = Reply(235, EnhancedStatusCode(2, 7, 0), "Authentication successful")
    static let wrongCredentials = Reply(535, EnhancedStatusCode(5, 7, 8), "Authentication credentials invalid")

    /// RFC 4954 §6.
    static let authenticationPutOff = Reply(
        454,
        EnhancedStatusCode(4, 7, 0),
        "too many logins at once, try again later"
    )

    static let helloFirst = Reply(503, EnhancedStatusCode(5, 5, 1), "send EHLO first")
    static let nestedMail = Reply(503, EnhancedStatusCode(5, 5, 1), "a mail transaction is already open")
    static let mailFirst = Reply(503, EnhancedStatusCode(5, 5, 1), "send MAIL first")
    static let recipientFirst = Reply(503, EnhancedStatusCode(5, 5, 1), "send RCPT first: no recipient was accepted")
    static let chunkedAlready = Reply(503, EnhancedStatusCode(5, 5, 1), "the content is being sent with BDAT")
    static let notInTransaction = Reply(503, EnhancedStatusCode(5, 5, 1), "not during a mail transaction")
    static let tlsUnavailable = Reply(502, EnhancedStatusCode(5, 5, 1), "TLS is not available")
    static let requireTLSNotOffered = Reply(
        555,
        EnhancedStatusCode(5, 5, 4),
        "REQUIRETLS is offered over TLS only: send STARTTLS first"
    )
    static let tlsActive = Reply(503, EnhancedStatusCode(5, 5, 1), "TLS is already active")
    static let encryptionRequired = Reply(538, EnhancedStatusCode(5, 7, 11), "encryption required for authentication")
    static let authenticationUnavailable = Reply(
        502,
        EnhancedStatusCode(5, 5, 1),
        "authentication is not available here"
    )
    static let authenticatedAlready = Reply(503, EnhancedStatusCode(5, 5, 1), "already authenticated")
    static let unknownMechanism = Reply(504, EnhancedStatusCode(5, 5, 4), "authentication mechanism not offered")
    static let authenticationRequired = Reply(530, EnhancedStatusCode(5, 7, 0), "Authentication required")
    static let needsSMTPUTF8 = Reply(
        553,
        EnhancedStatusCode(5, 6, 7),
        "a non-ASCII address needs the SMTPUTF8 parameter of MAIL"
    )
    static let tooManyRecipients = Reply(452, EnhancedStatusCode(4, 5, 3), "too many recipients")

    static let bareLineEndInCommand = Reply(
        500,
        EnhancedStatusCode(5, 5, 2),
        "bare CR or LF not allowed, lines must end in CRLF; closing"
    )
    static let lineTooLong = Reply(500, EnhancedStatusCode(5, 5, 2), "line too long")
    static let authenticationLineTooLong = Reply(
        500,
        EnhancedStatusCode(5, 5, 6),
        "authentication exchange line is too long"
    )
    static let hypertext = Reply(554, EnhancedStatusCode(5, 5, 1), "this is a mail server and you speak HTTP; closing")
    static let tlsOnClearText = Reply(
        554,
        EnhancedStatusCode(5, 5, 1),
        "this port starts in clear text, use STARTTLS; closing"
    )

    static let tooManyErrors = Reply(421, EnhancedStatusCode(4, 7, 0), "too many errors; closing")
    static let tooManyCommands = Reply(421, EnhancedStatusCode(4, 7, 0), "too many commands without mail; closing")
    static let tooManyTransactions = Reply(
        421,
        EnhancedStatusCode(4, 7, 0),
        "too many messages in one session; closing"
    )
    static let authenticationFailures = Reply(
        421,
        EnhancedStatusCode(4, 7, 0),
        "too many failed authentications; closing"
    )
    /// An address with too many failed authentications is left out for a while, in a session or at its begin.
    static let guessing = Reply(
        421,
        EnhancedStatusCode(4, 7, 0),
        "too many failed authentications from your address, try again later"
    )
    static let shuttingDown = Reply(421, EnhancedStatusCode(4, 3, 2), "the service is shutting down; closing")
    static let timedOut = Reply(421, EnhancedStatusCode(4, 4, 2), "timeout; closing")

    static func tooLarge(limit: Int) -> Reply {
        Reply(552, EnhancedStatusCode(5, 3, 4), "message size exceeds the limit of \(limit) octets")
    }

    static func headerTooLarge(limit: Int) -> Reply {
        Reply(552, EnhancedStatusCode(5, 3, 4), "header section exceeds the limit of \(limit) octets")
    }

    static func flawed(_ flaw: ContentReader.Flaw) -> Reply {
        switch flaw {
        case .bareCarriageReturn:
            Reply(554, EnhancedStatusCode(5, 5, 2), "bare CR in the message is not allowed, lines must end in CRLF")
        case .bareLineFeed:
            Reply(554, EnhancedStatusCode(5, 5, 2), "bare LF in the message is not allowed, lines must end in CRLF")
        case .nul:
            Reply(554, EnhancedStatusCode(5, 6, 0), "NUL in the message is not allowed")
        }
    }
}
