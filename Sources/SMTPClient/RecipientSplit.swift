import MailModel
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

    /// Takes the results; those who were one too many (452 4.5.3) come again, as long as each round accepts somebody.
    mutating func receive(_ results: [RecipientResult], of indices: [Int]) {
        let accepted = results.count { $0.isAccepted }
        var again: [Int] = []
        for (index, result) in zip(indices, results) {
            self.results[index] = result
            if accepted > 0, result.isTooMany {
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
    fileprivate var isAccepted: Bool {
        if case .accepted = self { true } else { false }
    }

    /// RFC 5321 §4.5.3.1.10: 452, or 552 of old servers, with 4.5.3 or without an enhanced code.
    fileprivate var isTooMany: Bool {
        guard case .failed(let failure) = self, failure.stage == .rcpt, let reply = failure.reply else {
            return false
        }
        if let status = reply.enhanced {
            return reply.code == 452 && status.subject == 5 && status.detail == 3
        }
        return reply.code == 452
    }
}
