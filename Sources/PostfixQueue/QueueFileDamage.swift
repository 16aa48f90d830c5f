/// Why a file is no whole message of a Postfix queue.
package enum QueueFileDamage: Error, Hashable, Sendable, CustomStringConvertible {
    /// It does not begin with the record in which Postfix notes that it wrote the file to its end.
    case notWrittenToItsEnd
    /// It ends in the middle of a record, or without the record that ends every message.
    case truncated
    /// A length that no record can have, at this octet.
    case badLength(at: Int)
    /// A record that cannot stand where it stands.
    case unexpectedRecord(type: UInt8, at: Int)
    /// A pointer to nowhere, or one of so many that they must go round in a circle.
    case badPointer(at: Int)
    /// No arrival time, no sender or no content.
    case missing(String)
    /// An address that SMTP cannot carry.
    case badAddress(String)
    case tooManyRecipients

    package var description: String {
        switch self {
        case .notWrittenToItsEnd: "not a queue file that Postfix wrote to its end"
        case .truncated: "it ends too early"
        case .badLength(let offset): "impossible record length at octet \(offset)"
        case .unexpectedRecord(let type, let offset): "unexpected record of type \(type) at octet \(offset)"
        case .badPointer(let offset): "broken pointer at octet \(offset)"
        case .missing(let what): "it has no \(what)"
        case .badAddress(let address): "\"\(address)\" is no address that SMTP can carry"
        case .tooManyRecipients: "it has more than \(QueueFile.recipientLimit) recipients"
        }
    }
}
