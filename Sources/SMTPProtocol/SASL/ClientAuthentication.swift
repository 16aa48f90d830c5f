/// A SASL mechanism that our client speaks.
package enum ClientMechanism: String, Hashable, Sendable, CaseIterable {
    /// RFC 4616.
    case plain = "PLAIN"
    /// draft-murchison-sasl-login, as servers of old and Exchange want it.
    case login = "LOGIN"
    /// RFC 2195.
    case cramMD5 = "CRAM-MD5"
    /// Google's and Microsoft's OAuth 2.0 mechanism; the secret is the access token.
    case xoauth2 = "XOAUTH2"
}

/// What a client proves itself with; does not print its secret.
package struct ClientLogin: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package let username: String
    let secret: String
    /// The mechanisms that may be used, the best first.
    package let mechanisms: [ClientMechanism]
    /// HMAC-MD5 of a message under a key, needed for CRAM-MD5 only.
    let keyedHash: KeyedHash

    /// Takes the key and the message and gives the digest.
    package typealias KeyedHash = @Sendable (_ key: [UInt8], _ message: [UInt8]) -> [UInt8]

    package init(username: String, secret: String, mechanisms: [ClientMechanism], keyedHash: @escaping KeyedHash) {
        self.username = username
        self.secret = secret
        self.mechanisms = mechanisms
        self.keyedHash = keyedHash
    }

    package var description: String {
        "login of \(self.username)"
    }

    package var debugDescription: String {
        self.description
    }

    package var customMirror: Mirror {
        Mirror(self, children: ["username": self.username])
    }
}

/// The client's side of one AUTH exchange (RFC 4954).
package struct ClientAuthentication: Sendable {
    package let mechanism: ClientMechanism
    private let login: ClientLogin
    private var challenges = 0

    package init(mechanism: ClientMechanism, login: ClientLogin) {
        self.mechanism = mechanism
        self.login = login
    }

    /// The command that begins the exchange.
    package var command: ClientCommand {
        let response: [UInt8]? =
            switch self.mechanism {
            case .plain: [0] + self.login.username.utf8 + [0] + self.login.secret.utf8
            case .xoauth2:
                Array("user=\(self.login.username)\u{1}auth=Bearer \(self.login.secret)\u{1}\u{1}".utf8)
            case .login, .cramMD5: nil
            }
        return .auth(mechanism: self.mechanism.rawValue, initialResponse: response.map(ClientBase64.encode))
    }

    /// The answer to the text of a 334; nil when the server asks for more than the mechanism has: then say `*`.
    package mutating func respond(to challenge: String) -> ClientCommand? {
        self.challenges += 1
        switch (self.mechanism, self.challenges) {
        case (.login, 1): return self.response(Array(self.login.username.utf8))
        case (.login, 2): return self.response(Array(self.login.secret.utf8))
        case (.cramMD5, 1):
            guard let challenge = ClientBase64.decode(challenge) else {
                return nil
            }
            let digest = self.login.keyedHash(Array(self.login.secret.utf8), challenge)
            let hexadecimal = digest.flatMap { [Self.digits[Int($0 >> 4)], Self.digits[Int($0 & 15)]] }
            return self.response(Array(self.login.username.utf8) + [0x20] + hexadecimal)
        // The 334 carries the error in JSON; an empty line asks for the final reply.
        case (.xoauth2, 1): return .authResponse("")
        // A server that ignored the initial response asks for it with an empty challenge.
        case (.plain, 1):
            return self.response([0] + self.login.username.utf8 + [0] + self.login.secret.utf8)
        case (.login, _), (.cramMD5, _), (.xoauth2, _), (.plain, _): return nil
        }
    }

    private func response(_ bytes: [UInt8]) -> ClientCommand {
        .authResponse(ClientBase64.encode(bytes))
    }

    private static let digits = Array("0123456789abcdef".utf8)
}
