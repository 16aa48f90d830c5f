import Delivery
import MailModel

/// The result classes that the tables of all services share, in the gateway's own vocabulary.
enum ServiceFailures {
    /// Success that is said in a way that this service never says it: nobody knows what became of the message.
    static func unclear(_ text: String) -> Failure {
        Failure(.ambiguous, .provider, .commit, status: .init(4, 4, 2), text: text, reason: .noAnswer)
    }

    static func recipient(_ text: String) -> Failure {
        Failure(.permanent, .recipient, .commit, status: .init(5, 1, 3), text: text, reason: .recipientRefused)
    }

    /// The From address is one that nobody could accept.
    static func message(_ text: String) -> Failure {
        Failure(.permanent, .message, .commit, status: .init(5, 1, 7), text: text, reason: .contentRefused)
    }

    /// This service cannot carry this message, as its response says.
    static func unsupported(_ text: String) -> Failure {
        Failure(.permanent, .capability, .commit, status: .init(5, 6, 0), text: text, reason: .notSupported)
    }

    static func tooLarge(_ text: String) -> Failure {
        Failure(.permanent, .capability, .commit, status: .init(5, 3, 4), text: text, reason: .tooLarge)
    }

    static func sender(_ text: String) -> Failure {
        Failure(.permanent, .sender, .commit, status: .init(5, 7, 1), text: text, reason: .senderNotVerified)
    }

    /// The address, the region or the account's plan is wrong for this sender.
    static func misconfigured(_ text: String) -> Failure {
        Failure(.permanent, .sender, .commit, status: .init(5, 3, 5), text: text, reason: .misconfigured)
    }

    static func authentication(_ text: String) -> Failure {
        Failure(.permanent, .provider, .commit, status: .init(5, 7, 8), text: text, reason: .authenticationFailed)
    }

    static func rate(_ text: String, wait: Duration?) -> Failure {
        Failure(
            .transient,
            .provider,
            .commit,
            status: .init(4, 7, 0),
            text: text,
            reason: .rateLimited,
            retryAfter: wait
        )
    }

    /// Without a documented reset it is asked again after an hour: money may come at any time.
    static func quota(_ text: String, wait: Duration?) -> Failure {
        Failure(
            .transient,
            .provider,
            .commit,
            status: .init(4, 7, 0),
            text: text,
            reason: .quotaExceeded,
            retryAfter: wait ?? ServiceResponse.longestWait,
            isWaitGuessed: wait == nil
        )
    }

    static func unavailable(_ text: String, wait: Duration?) -> Failure {
        Failure(
            .transient,
            .provider,
            .commit,
            status: .init(4, 3, 0),
            text: text,
            reason: .serviceUnavailable,
            retryAfter: wait
        )
    }

    /// This service cannot carry this message, as is seen before anything is sent.
    static func cannotCarry(_ text: String) -> Failure {
        Failure(.permanent, .capability, .data, status: .init(5, 6, 0), text: text, reason: .notSupported)
    }

    /// An address that no request can hold: control characters never reach a service.
    static let impossibleAddress = Failure(
        .permanent,
        .recipient,
        .rcpt,
        status: .init(5, 1, 3),
        text: "the address has characters that no address can have",
        reason: .recipientRefused
    )

    static let internationalAddress = Failure(
        .permanent,
        .capability,
        .rcpt,
        status: .init(5, 6, 7),
        text: "this service takes only addresses in ASCII",
        reason: .notSupported
    )

    /// Why a recipient cannot be asked for at all; nil when it can.
    static func objection(to recipient: Recipient) -> Failure? {
        let address = recipient.mailbox.description
        if address.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            return self.impossibleAddress
        }
        return recipient.mailbox.inASCII == nil ? self.internationalAddress : nil
    }
}

extension Failure {
    /// The same word where it may hold for this message only: the next way is asked, and no other mail is kept from this one.
    var forThisMessageAlone: Failure {
        var failure = self
        failure.persistence = .transient
        failure.status = self.status.withClass(4)
        return failure
    }
}
