package import MailModel

/// Where a client's dialogue with a server stands, or stood when it failed.
package enum ClientStage: String, Hashable, Sendable, CaseIterable {
    case connect, tls, greeting, ehlo, auth, mail, rcpt, data
    /// After the final dot.
    case commit
}

/// What went wrong in a dialogue with a server: the bare fact, to be judged by a provider's table.
package struct ClientFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package var stage: ClientStage
    package var cause: Cause
    /// The final dot was, or may have been, written and no answer came: the message may have been accepted.
    package var mayHaveBeenAccepted: Bool

    package enum Cause: Hashable, Sendable {
        /// The server's own word, a 4yz or 5yz.
        case reply(Reply)
        /// No connection could be made; the text says why for each address.
        case notConnected(String)
        /// The connection ended or broke.
        case lost(String)
        case timeout
        /// The server does not speak SMTP as it should.
        case protocolError(String)
        /// The handshake.
        case tls(String)
        /// The server's certificate is not the one that is wanted; the text says what was wanted.
        case certificate(CertificateFault, String)
        /// The server does not offer what is needed: `STARTTLS`, `AUTH`, `SMTPUTF8`, `REQUIRETLS`.
        case notOffered(String)
        /// Larger than the limit that the server announced with SIZE, in octets.
        case tooLarge(limit: Int)
        /// An address that cannot be written into a command.
        case unwritable(String)
        /// The server calls itself by our own name.
        case ourselves
        /// The secret of the hop's credentials, which its file does not give.
        case secretUnreadable(String)
        /// Our own trouble: the content cannot be read, no descriptors, the store refused to note the attempt.
        case local(String)
    }

    package init(_ stage: ClientStage, _ cause: Cause, mayHaveBeenAccepted: Bool = false) {
        self.stage = stage
        self.cause = cause
        self.mayHaveBeenAccepted = mayHaveBeenAccepted
    }

    /// The server's reply, where it was one that ended the matter.
    package var reply: Reply? {
        if case .reply(let reply) = self.cause { reply } else { nil }
    }

    /// One line for people.
    package var description: String {
        switch self.cause {
        case .reply(let reply): "\(reply)"
        case .notConnected(let text): "cannot connect: \(text)"
        case .lost(let text): "connection lost at \(self.stage.rawValue): \(text)"
        case .timeout: "no answer in time at \(self.stage.rawValue)"
        case .protocolError(let text): "protocol error at \(self.stage.rawValue): \(text)"
        case .tls(let text): "TLS failed: \(text)"
        case .certificate(let fault, let text): "TLS failed: \(fault.rawValue): \(text)"
        case .notOffered(let word): "\(word) is not offered"
        case .tooLarge(let limit): "message is larger than the \(limit) octets that are taken there"
        case .unwritable(let text): "address cannot be sent: \(text)"
        case .ourselves: "the host greets with our own name: mail would loop"
        case .secretUnreadable(let text): text
        case .local(let text): text
        }
    }
}

/// Why a server's certificate was refused, in the distinctions of RFC 8460 §4.3.
package enum CertificateFault: String, Hashable, Sendable, CaseIterable {
    case hostMismatch = "the certificate bears another name"
    case expired = "the certificate is not valid now"
    case notTrusted = "the certificate is not trusted"
    /// No TLSA record matches what the server presented (RFC 7672 §3).
    case noAssociation = "the certificate matches no TLSA record"
}

/// What became of one recipient in a mail transaction.
package enum RecipientResult: Hashable, Sendable {
    /// The reply to the final dot.
    case accepted(Reply)
    case failed(ClientFailure)

    package var isAccepted: Bool {
        if case .accepted = self { true } else { false }
    }

    package var failure: ClientFailure? {
        if case .failed(let failure) = self { failure } else { nil }
    }
}

/// A message's envelope for one transaction, and what the server must know of the content beforehand.
package struct MailTransaction: Hashable, Sendable {
    package var reversePath: ReversePath
    package var parameters: MailParameters
    package var forwardPaths: [ForwardPath]
    /// Octets of content.
    package var size: Int
    /// Whether any octet of the content is over 127.
    package var isEightBit: Bool

    package init(
        reversePath: ReversePath,
        parameters: MailParameters = .init(),
        forwardPaths: [ForwardPath],
        size: Int,
        isEightBit: Bool
    ) {
        self.reversePath = reversePath
        self.parameters = parameters
        self.forwardPaths = forwardPaths
        self.size = size
        self.isEightBit = isEightBit
    }
}
