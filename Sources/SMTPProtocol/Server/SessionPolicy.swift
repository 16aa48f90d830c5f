/// What a listener allows its clients, as far as the protocol is concerned.
package struct SessionPolicy: Hashable, Sendable {
    package enum Authentication: String, Hashable, Sendable {
        /// AUTH is not offered.
        case none
        /// AUTH is offered; who does not use it is judged by the address.
        case optional
        /// MAIL is refused until AUTH has succeeded.
        case required
    }

    /// The name in the greeting and in the reply to EHLO.
    package var hostname: String
    /// The domain that is supplied to a path without one, such as Django's `webmaster`.
    package var qualifyDomain: String
    package var authentication: Authentication
    /// Offers AUTH outside TLS too, for a trusted network.
    package var allowsAuthenticationWithoutTLS: Bool
    /// Whether STARTTLS can be offered.
    package var offersSTARTTLS: Bool
    /// Whether the client's address alone allows it to relay.
    package var mayRelay: Bool
    package var limits: SessionLimits

    package init(
        hostname: String,
        qualifyDomain: String,
        authentication: Authentication = .none,
        allowsAuthenticationWithoutTLS: Bool = false,
        offersSTARTTLS: Bool = false,
        mayRelay: Bool = false,
        limits: SessionLimits = SessionLimits()
    ) {
        self.hostname = hostname
        self.qualifyDomain = qualifyDomain
        self.authentication = authentication
        self.allowsAuthenticationWithoutTLS = allowsAuthenticationWithoutTLS
        self.offersSTARTTLS = offersSTARTTLS
        self.mayRelay = mayRelay
        self.limits = limits
    }
}

/// The bounds of one session; sizes are octets.
package struct SessionLimits: Hashable, Sendable {
    /// Announced as SIZE and applied to content without the dots of dot-stuffing.
    package var messageSize = 25 * 1_048_576
    /// Announced as LIMITS RCPTMAX (RFC 9422); the next recipient reads 452.
    ///
    /// High, since Django forgets whom 452 was said to as soon as another recipient was taken.
    package var recipients = 10_000
    package var headerSection = 256 * 1_024
    /// A command with its CRLF; RFC 5321 §4.5.3.1.4 demands 512.
    package var commandLine = 2_048
    /// A line of an AUTH exchange (RFC 4954 §4.5).
    package var authenticationLine = 12_288
    /// Errors after which each further error reply is held back for a while.
    package var errorsBeforeDelay = 10
    /// Errors after which the session is closed.
    package var errorsBeforeClose = 20
    /// Commands in a row without an accepted message.
    package var commandsWithoutMail = 1_000
    /// Failed AUTH attempts that are answered; the next one closes.
    ///
    /// Python's smtplib makes two of one wrong password.
    package var authenticationFailures = 3
    /// Accepted messages in one session.
    package var transactions = 100_000

    package init() {}
}
