/// How a `FakeExchanger` behaves; a plain one is a good server that takes everything.
package struct FakeExchangerScript: Sendable {
    package enum Stage: Hashable, Sendable {
        case greeting, ehlo, startTLS, auth, mail, rcpt, data, content, reset
    }

    package enum Fault: Hashable, Sendable {
        /// Answer this instead; several lines are parted by CRLF.
        case reply(String)
        /// Answer this instead and close in the same breath.
        case lastWord(String)
        /// Close without an answer.
        case drop
        /// Never answer.
        case hang
        /// Answer with a line that never ends.
        case endlessLine
        /// Answer with a reply whose lines never end.
        case endlessReply
        /// Answer with one octet at a time, for ever.
        case drip
        /// Answer with octets that are no reply.
        case garbage
    }

    /// What EHLO offers, beside STARTTLS and AUTH.
    package var extensions = ["PIPELINING", "SIZE 35882577", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "SMTPUTF8"]
    package var greeting = "220 mx.example.test ESMTP"
    package var offersStartTLS = false
    /// TLS from the first octet.
    package var isImplicitTLS = false
    /// Certificates in PEM form, the server's own first, and its key; those of `TestCertificates` where not set.
    package var certificates: (chain: String, key: String)?
    /// Takes no mail in clear text: 530.
    package var demandsTLS = false
    /// Answers 220 to STARTTLS and then garbage.
    package var breaksHandshake = false
    /// Octets in clear in the same segment as the 220 of STARTTLS.
    package var injection = ""
    /// Mechanisms; none: AUTH is not offered.
    package var mechanisms: [String] = []
    /// Offers AUTH in clear text too.
    package var offersAuthInClear = false
    /// Replies to the responses of an AUTH exchange, in order; the last one is final.
    package var authReplies = ["235 2.7.0 welcome"]
    /// Faults by stage, each used up once in order.
    package var once: [Stage: [Fault]] = [:]
    /// Faults that happen each time.
    package var always: [Stage: Fault] = [:]
    /// Replies to RCPT by address.
    package var recipients: [String: String] = [:]
    /// Recipients that are taken in a transaction; more get `tooManyRecipients`.
    package var maximumRecipients = Int.max
    package var tooManyRecipients = "452 4.5.3 too many recipients"
    package var acceptance = "250 2.0.0 queued as FAKE1"
    /// Closes the connection after each message.
    package var closesAfterMessage = false

    package init() {}
}
