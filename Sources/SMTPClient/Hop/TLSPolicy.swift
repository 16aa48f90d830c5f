/// How a connection is to be encrypted.
package enum TLSPolicy: Hashable, Sendable {
    /// Clear text.
    case none
    /// STARTTLS where it is offered, with any certificate; when the handshake fails, clear text by a new connection.
    ///
    /// Better than nothing against listeners, nothing against an active attacker (RFC 7435): for mail exchangers.
    case opportunistic
    /// No mail and no AUTH without TLS.
    case required(TLSStart, TLSVerification)

    /// When the handshake happens.
    package enum TLSStart: String, Hashable, Sendable {
        case startTLS
        /// At once, as on port 465 (RFC 8314 §3).
        case implicit
    }

    /// What is asked of the certificate.
    package enum TLSVerification: String, Hashable, Sendable {
        /// A trusted issuer and the host's name.
        case verified
        case unverified
    }

    var isVerified: Bool {
        switch self {
        case .required(_, .verified): true
        case .none, .opportunistic, .required(_, .unverified): false
        }
    }

    var isImplicit: Bool {
        switch self {
        case .required(.implicit, _): true
        case .none, .opportunistic, .required(.startTLS, _): false
        }
    }

    var isRequired: Bool {
        switch self {
        case .required: true
        case .none, .opportunistic: false
        }
    }
}
