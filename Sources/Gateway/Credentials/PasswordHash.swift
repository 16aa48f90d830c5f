import Crypto
import CryptoExtras
import FoundationEssentials

/// A hashed password as it stands in the configuration: `$scrypt$ln=15,r=8,p=1$SALT$KEY`, base 64.
package struct PasswordHash: Hashable, Sendable, CustomStringConvertible {
    /// The base-2 logarithm of scrypt's cost: 15 takes about 32 MiB and 50 to 100 ms.
    private static let usualCost = 15
    private static let allowedCosts = 10...20
    private static let keyLength = 32
    private static let saltLength = 16

    private let cost: Int
    private let salt: [UInt8]
    private let key: [UInt8]

    /// Hashes a password with a new salt.
    package init(of password: String) throws {
        var random = SystemRandomNumberGenerator()
        let salt = (0..<Self.saltLength).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        try self.init(of: password, salt: salt, cost: Self.usualCost)
    }

    init(of password: String, salt: [UInt8], cost: Int) throws {
        self.cost = cost
        self.salt = salt
        self.key = try Self.derive(password, salt: salt, cost: cost)
    }

    /// Reads the text form; nil for anything else, absurd costs included.
    package init?(_ text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: true).map(String.init)
        guard parts.count == 4, parts[0] == "scrypt", parts[1].hasPrefix("ln="), parts[1].hasSuffix(",r=8,p=1"),
            let cost = Int(parts[1].dropFirst(3).prefix { $0 != "," }), Self.allowedCosts.contains(cost),
            let salt = Data(base64Encoded: parts[2]), let key = Data(base64Encoded: parts[3]),
            salt.count >= 8, key.count == Self.keyLength
        else {
            return nil
        }
        self.cost = cost
        self.salt = Array(salt)
        self.key = Array(key)
    }

    package var description: String {
        let encode = { (bytes: [UInt8]) in Data(bytes).base64EncodedString() }
        return "$scrypt$ln=\(self.cost),r=8,p=1$\(encode(self.salt))$\(encode(self.key))"
    }

    /// Whether the password is the one; takes as long for a wrong one.
    package func matches(_ password: String) -> Bool {
        guard let other = try? Self.derive(password, salt: self.salt, cost: self.cost) else {
            return false
        }
        var difference: UInt8 = other.count == self.key.count ? 0 : 1
        for (left, right) in zip(other, self.key) {
            difference |= left ^ right
        }
        return difference == 0
    }

    private static func derive(_ password: String, salt: [UInt8], cost: Int) throws -> [UInt8] {
        let key = try KDF.Scrypt.deriveKey(
            from: Array(password.utf8),
            salt: salt,
            outputByteCount: self.keyLength,
            rounds: 1 << cost,
            blockSize: 8,
            parallelism: 1,
            maxMemory: 1 << (26 + max(0, cost - 15))
        )
        return key.withUnsafeBytes { Array($0) }
    }
}
