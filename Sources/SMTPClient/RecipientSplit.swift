package import MailModel
import SMTPProtocol

/// Deals the recipients of a message to transactions that are no larger than the server allows.
struct RecipientSplit {
    private(set) var results: [RecipientResult?]
    private var waiting: [Int]
    private var limit: Int
    private var rounds = 0

    init(count: Int, limit: Int) {
        self.results = Array(repeating: nil, count: count)
        self.waiting = Array(0..<count)
        self.limit = max(1, limit)
    }

    /// Whether the transaction that `next` gave last was the first.
    var isFirst: Bool {
        self.rounds == 1
    }

    /// The recipients of the next transaction by their positions; nil when all have been dealt.
    mutating func next() -> [Int]? {
        guard !self.waiting.isEmpty else {
            return nil
        }
        self.rounds += 1
        let group = Array(self.waiting.prefix(self.limit))
        self.waiting.removeFirst(group.count)
        return group
    }

    /// Takes the results; those who were one too many (452 or 552) come again, as long as each round accepts somebody.
    mutating func receive(_ results: [RecipientResult], of indices: [Int]) {
        let accepted = results.count { $0.isAccepted }
        var again: [Int] = []
        var seen = 0
        for (index, result) in zip(indices, results) {
            self.results[index] = result
            seen += result.isAccepted ? 1 : 0
            if accepted > 0, result.isTooMany(after: seen) {
                again.append(index)
            }
        }
        if !again.isEmpty {
            self.limit = accepted
            self.waiting = again + self.waiting
        }
    }
}

extension RecipientResult {
    /// Whether a recipient was refused for those before it; without an enhanced code only when some were taken.
    fileprivate func isTooMany(after accepted: Int) -> Bool {
        guard case .failed(let failure) = self, failure.stage == .rcpt, let reply = failure.reply else {
            return false
        }
        return reply.isTooManyRecipients && (accepted > 0 || reply.enhanced != nil)
    }
}

extension Reply {
    /// A refusal at RCPT that says, for all one can tell, that the transaction has too many recipients.
    ///
    /// It says nothing of the recipient, who must not get a bounce for it: RFC 5321 §4.5.3.1.10 wants 552 taken for 452.
    package var isTooManyRecipients: Bool {
        guard let status = self.enhanced else {
            return self.code == 452 || self.code == 552
        }
        return [452, 550, 552].contains(self.code) && status.subject == 5 && status.detail == 3
    }
}
