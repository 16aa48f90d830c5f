/// What travels beside the content of a message: who it is from, whom it is for, and how it wants to be carried.
package struct Envelope: Hashable, Sendable {
    package var reversePath: ReversePath
    package var parameters: MailParameters
    package var forwardPaths: [ForwardPath]

    package init(reversePath: ReversePath, parameters: MailParameters = .init(), forwardPaths: [ForwardPath] = []) {
        self.reversePath = reversePath
        self.parameters = parameters
        self.forwardPaths = forwardPaths
    }

    /// Whether any address of the envelope, or the client's own word, requires SMTPUTF8 (RFC 6531 §3.4).
    package var needsSMTPUTF8: Bool {
        self.parameters.smtpUTF8
            || !(self.reversePath.mailbox?.isASCII ?? true)
            || self.forwardPaths.contains { !$0.mailbox.isASCII }
    }
}

/// The ESMTP parameters of `MAIL` that concern the whole message and are handed on.
package struct MailParameters: Hashable, Sendable {
    /// `BODY=` (RFC 6152, RFC 3030); nil when the client did not say: Django never does.
    package var body: BodyType?
    /// `SMTPUTF8` was given (RFC 6531).
    package var smtpUTF8: Bool
    /// `RET=`: how much of the message a failure report returns (RFC 3461 §4.3).
    package var returnContent: ReturnContent?
    /// `ENVID=` in xtext form as received (RFC 3461 §4.4).
    package var envelopeID: String?
    /// `REQUIRETLS` was given (RFC 8689).
    package var requireTLS: Bool
    /// The message itself says `TLS-Required: No` (RFC 8689 §3): delivery goes before the recipient domain's TLS policies.
    ///
    /// `requireTLS` overrides it.
    package var tlsOptional: Bool

    package init(
        body: BodyType? = nil,
        smtpUTF8: Bool = false,
        returnContent: ReturnContent? = nil,
        envelopeID: String? = nil,
        requireTLS: Bool = false,
        tlsOptional: Bool = false
    ) {
        self.body = body
        self.smtpUTF8 = smtpUTF8
        self.returnContent = returnContent
        self.envelopeID = envelopeID
        self.requireTLS = requireTLS
        self.tlsOptional = tlsOptional
    }

    package enum BodyType: String, Hashable, Sendable, Codable {
        case sevenBit = "7BIT"
        case eightBitMIME = "8BITMIME"
        case binaryMIME = "BINARYMIME"
    }

    package enum ReturnContent: String, Hashable, Sendable, Codable {
        case full = "FULL"
        case headers = "HDRS"
    }
}
