import Crypto
import NIOCore
package import SMTPProtocol

/// A user name and where its secret comes from; the secret is read anew for each connection and never printed.
package struct SMTPCredentials: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package let username: String
    /// Preferred first; XOAUTH2 takes the secret as an access token, the others as a password.
    package let mechanisms: [ClientMechanism]
    private let secret: Secret

    /// Gives the password or access token.
    package typealias Secret = @Sendable () async throws -> String

    package static let passwordMechanisms: [ClientMechanism] = [.plain, .login, .cramMD5]

    package init(
        username: String,
        mechanisms: [ClientMechanism] = Self.passwordMechanisms,
        secret: @escaping Secret
    ) {
        self.username = username
        self.mechanisms = mechanisms
        self.secret = secret
    }

    package init(username: String, password: String, mechanisms: [ClientMechanism] = Self.passwordMechanisms) {
        self.init(username: username, mechanisms: mechanisms) { password }
    }

    /// Reads the secret from a file, without the line end at its end; at most 64 KiB.
    ///
    /// A file that gives nothing is as good as none that can be read.
    package init(username: String, file path: String, mechanisms: [ClientMechanism] = Self.passwordMechanisms) {
        self.init(username: username, mechanisms: mechanisms) {
            let text = String(buffer: try await FileBlocks.open(path).read(65536, at: 0))
            let secret = String(text.reversed().drop { $0.isNewline }.reversed())
            guard !secret.isEmpty else {
                throw FileBlocks.Unreadable()
            }
            return secret
        }
    }

    func login() async throws -> ClientLogin {
        ClientLogin(username: self.username, secret: try await self.secret(), mechanisms: self.mechanisms) {
            key,
            message in
            Array(HMAC<Insecure.MD5>.authenticationCode(for: message, using: SymmetricKey(data: key)))
        }
    }

    package var description: String {
        "credentials of \(self.username)"
    }

    package var debugDescription: String {
        self.description
    }

    package var customMirror: Mirror {
        Mirror(self, children: ["username": self.username])
    }
}
