import MailModel

/// What a client proved itself with; never printed.
package struct ServerCredentials: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    package let user: String
    package let password: String

    package init(user: String, password: String) {
        self.user = user
        self.password = password
    }

    package var description: String {
        "credentials of \(self.user)"
    }

    package var debugDescription: String {
        self.description
    }
}

/// The server's side of one AUTH exchange: PLAIN (RFC 4616) or LOGIN, which never became a standard.
struct ServerExchange: Sendable {
    enum Step: Sendable {
        /// Send a 334 and wait for one more line.
        case challenge(Reply)
        case credentials(ServerCredentials)
        case failed(Reply)
    }

    private enum State: Sendable {
        case plain
        case loginUser
        case loginPassword(user: String)
    }

    private var state: State

    /// Begins an exchange; nil for a mechanism that is not offered.
    init?(mechanism: String) {
        switch mechanism {
        case "PLAIN": self.state = .plain
        case "LOGIN": self.state = .loginUser
        default: return nil
        }
    }

    /// What follows the AUTH command itself, with or without an initial response (RFC 4954 §4).
    mutating func begin(initialResponse: String?) -> Step {
        guard let initialResponse else {
            switch self.state {
            case .plain: return .challenge(Reply(334, nil, ""))
            case .loginUser, .loginPassword: return .challenge(Reply(334, nil, "VXNlcm5hbWU6"))
            }
        }
        // A lone "=" is an initial response of no octets.
        return self.receive(initialResponse == "=" ? "" : initialResponse)
    }

    /// One line of the client, without its CRLF.
    mutating func receive(_ line: String) -> Step {
        if line == "*" {
            return .failed(Reply(501, EnhancedStatusCode(5, 7, 0), "authentication cancelled"))
        }
        guard let octets = ServerBase64.decode(line) else {
            return .failed(Reply(501, EnhancedStatusCode(5, 5, 2), "malformed base64 in the authentication exchange"))
        }
        switch self.state {
        case .plain:
            return Self.plainCredentials(octets)
        case .loginUser:
            guard let user = Self.text(octets[...]) else {
                return .failed(Self.malformed)
            }
            self.state = .loginPassword(user: user)
            return .challenge(Reply(334, nil, "UGFzc3dvcmQ6"))
        case .loginPassword(let user):
            guard let password = Self.text(octets[...]) else {
                return .failed(Self.malformed)
            }
            return .credentials(ServerCredentials(user: user, password: password))
        }
    }

    /// `[authzid] NUL authcid NUL passwd`; acting for another user is not offered.
    private static func plainCredentials(_ octets: [UInt8]) -> Step {
        let parts = octets.split(separator: 0, omittingEmptySubsequences: false)
        guard parts.count == 3, let user = Self.text(parts[1]), let password = Self.text(parts[2]) else {
            return .failed(Self.malformed)
        }
        guard parts[0].isEmpty || parts[0] == parts[1] else {
            return .failed(Reply(535, EnhancedStatusCode(5, 7, 8), "authorization as another user is not allowed"))
        }
        return .credentials(ServerCredentials(user: user, password: password))
    }

    private static func text(_ octets: ArraySlice<UInt8>) -> String? {
        guard !octets.isEmpty, octets.count <= 1_024, !octets.contains(0) else {
            return nil
        }
        return String(validating: octets, as: UTF8.self)
    }

    private static let malformed = Reply(501, EnhancedStatusCode(5, 5, 2), "malformed credentials")
}
