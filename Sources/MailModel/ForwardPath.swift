/// One recipient of an envelope with what the client asked for it (RFC 5321 §4.1.1.3, RFC 3461 §4).
package struct ForwardPath: Hashable, Sendable {
    package let mailbox: Mailbox
    /// When the sender wants to hear of this recipient; nil: not said, which means on failure and perhaps on delay.
    package var notify: Notify?
    /// The `ORCPT` parameter as received, in xtext form with its address type, such as `rfc822;user+2Bx@example.com`.
    package var originalRecipient: String?

    package init(mailbox: Mailbox, notify: Notify? = nil, originalRecipient: String? = nil) {
        self.mailbox = mailbox
        self.notify = notify
        self.originalRecipient = originalRecipient
    }

    /// Whether a failure of this recipient may be reported to the reverse-path (RFC 3461 §4.1).
    package var wantsFailureReport: Bool {
        self.notify.map { $0.contains(.failure) } ?? true
    }
}

/// The `NOTIFY` parameter of `RCPT` (RFC 3461 §4.1); the empty set is `NEVER`.
package struct Notify: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package static let success = Notify(rawValue: 1)
    package static let failure = Notify(rawValue: 2)
    package static let delay = Notify(rawValue: 4)
    package static let never: Notify = []

    package init(rawValue: UInt8) {
        self.rawValue = rawValue & 7
    }

    /// The value as it is written after `NOTIFY=`.
    package var parameter: String {
        let words = [(Notify.success, "SUCCESS"), (.failure, "FAILURE"), (.delay, "DELAY")]
        let chosen = words.filter { self.contains($0.0) }.map(\.1)
        return chosen.isEmpty ? "NEVER" : chosen.joined(separator: ",")
    }
}
