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
    package enum TLSVerification: Hashable, Sendable {
        /// A trusted issuer and the host's name.
        case verified
        /// What the host's TLSA records say (RFC 7672).
        case dane(DANEAssociations)
        case unverified
    }

    /// How records name the strength: `verified`, `dane`, `unverified`.
    var verificationWord: String {
        switch self {
        case .required(_, .verified): "verified"
        case .required(_, .dane): "dane"
        case .none, .opportunistic, .required(_, .unverified): "unverified"
        }
    }

    /// Whether the server has proved who it is once the handshake is over.
    var isAuthenticated: Bool {
        self.isVerified || self.associations != nil
    }

    var isVerified: Bool {
        switch self {
        case .required(_, .verified): true
        case .none, .opportunistic, .required(_, .unverified), .required(_, .dane): false
        }
    }

    var associations: DANEAssociations? {
        switch self {
        case .required(_, .dane(let associations)): associations
        case .none, .opportunistic, .required(_, .unverified), .required(_, .verified): nil
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
