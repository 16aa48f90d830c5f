import MailModel

/// One mail transaction from `MAIL` to the reply after the final dot; a part of `ClientSession`.
///
/// `MAIL`, every `RCPT` and `DATA` go in one group where PIPELINING is offered (RFC 2920), else one by one.
struct ClientTransaction: Sendable {
    enum Step: Hashable, Sendable {
        case send([ClientCommand])
        case wait
        /// 354 came and somebody is to have the message.
        case sendContent
        /// 354 came for nobody: end with an empty message (RFC 2920 §3.1).
        case sendFinalDot
        case finished([RecipientResult])
    }

    private enum Expected: Hashable {
        case reset, mail, recipient(Int), data, commit, emptyCommit
    }

    private let pipelined: Bool
    /// Commands that were not sent yet, in order.
    private var unsent: [(Expected, ClientCommand)] = []
    private var next = 0
    /// What the replies to come will answer.
    private var outstanding: [Expected] = []
    private var answered = 0
    private var results: [RecipientResult?]
    private var isAccepted: [Bool]
    private var dotSent = false
    /// The connection is no good afterwards.
    private(set) var endsConnection = false
    /// The server keeps a transaction open that RSET must clear.
    private(set) var leavesTransactionOpen = false

    init(_ mail: MailTransaction, to extensions: OfferedExtensions, resetFirst: Bool) {
        self.pipelined = extensions.pipelining
        self.results = Array(repeating: nil, count: mail.forwardPaths.count)
        self.isAccepted = Array(repeating: false, count: mail.forwardPaths.count)
        self.unsent.reserveCapacity(mail.forwardPaths.count + 3)
        if resetFirst {
            self.unsent.append((.reset, .reset))
        }
        self.unsent.append((.mail, .mail(mail.reversePath, parameters: mail.mailWords(for: extensions))))
        for (index, path) in mail.forwardPaths.enumerated() {
            let command = ClientCommand.recipient(path.mailbox, parameters: path.recipientWords(for: extensions))
            if command.isWritable {
                self.unsent.append((.recipient(index), command))
            } else {
                self.results[index] = .failed(.init(.rcpt, .unwritable("a recipient with control characters")))
            }
        }
        self.unsent.append((.data, .data))
    }

    var stage: ClientStage {
        guard self.answered < self.outstanding.count else {
            return self.dotSent ? .commit : .data
        }
        switch self.outstanding[self.answered] {
        case .reset, .mail: return .mail
        case .recipient: return .rcpt
        case .data: return .data
        case .commit, .emptyCommit: return .commit
        }
    }

    /// Whether any reply has come, so that a fresh connection would repeat what was answered.
    var hasBeenAnswered: Bool {
        self.answered > 0
    }

    mutating func begin() -> Step {
        guard self.unsent.allSatisfy(\.1.isWritable) else {
            return .finished(self.results(filledWith: .init(.mail, .unwritable("a sender with control characters"))))
        }
        guard self.results.contains(nil) else {
            return .finished(self.results.compactMap(\.self))
        }
        return self.pipelined ? self.sendAll() : self.sendNext()
    }

    mutating func contentSent() {
        self.outstanding.append(.commit)
        self.dotSent = true
    }

    mutating func receive(_ reply: Reply) -> Step {
        guard self.answered < self.outstanding.count else {
            return self.receiveUnasked(reply)
        }
        let expected = self.outstanding[self.answered]
        self.answered += 1
        guard reply.code != 421 else {
            // RFC 5321 §3.8: the server closes; what it has not answered, it will not.
            self.endsConnection = true
            return .finished(self.results(filledWith: self.failure(reply, at: Self.stage(of: expected))))
        }
        switch expected {
        case .reset:
            return self.goOn()
        case .mail:
            guard reply.isPositive else {
                self.leavesTransactionOpen = false
                self.fillMissing(with: self.failure(reply, at: .mail))
                return self.pipelined ? .wait : .finished(self.results(filledWith: self.failure(reply, at: .mail)))
            }
            self.leavesTransactionOpen = true
            return self.goOn()
        case .recipient(let index):
            self.receiveRecipient(reply, at: index)
            return self.goOn()
        case .data:
            return self.receiveData(reply)
        case .commit:
            self.leavesTransactionOpen = false
            for index in self.results.indices where self.isAccepted[index] {
                self.results[index] = reply.isPositive ? .accepted(reply) : .failed(self.failure(reply, at: .commit))
            }
            return .finished(self.results(filledWith: self.failure(reply, at: .commit)))
        case .emptyCommit:
            // Nobody was to have it: whatever the reply says, nothing was accepted.
            return .finished(self.results(filledWith: self.failure(reply, at: .data)))
        }
    }

    /// What is known when the connection ends or the time is over.
    mutating func interrupted(by cause: ClientFailure.Cause, dotMayHaveLeft: Bool) -> [RecipientResult] {
        self.endsConnection = true
        let ambiguous = self.dotSent && dotMayHaveLeft
        return self.results(filledWith: ClientFailure(self.stage, cause, mayHaveBeenAccepted: ambiguous))
    }

    private mutating func sendAll() -> Step {
        let commands = self.unsent[self.next...]
        self.outstanding += commands.map(\.0)
        self.next = self.unsent.count
        return .send(commands.map(\.1))
    }

    private mutating func sendNext() -> Step {
        let (expected, command) = self.unsent[self.next]
        if expected == .data, !self.isAccepted.contains(true) {
            return .finished(self.results(filledWith: ClientFailure(.rcpt, .protocolError("no recipient"))))
        }
        self.outstanding.append(expected)
        self.next += 1
        return .send([command])
    }

    private mutating func goOn() -> Step {
        self.answered < self.outstanding.count || self.pipelined ? .wait : self.sendNext()
    }

    private mutating func receiveRecipient(_ reply: Reply, at index: Int) {
        guard self.results[index] == nil else {
            return
        }
        if reply.isPositive {
            self.isAccepted[index] = true
        } else {
            self.results[index] = .failed(self.failure(reply, at: .rcpt))
        }
    }

    private mutating func receiveData(_ reply: Reply) -> Step {
        let wanted = self.isAccepted.contains(true)
        if (300..<400).contains(reply.code) {
            guard wanted else {
                self.outstanding.append(.emptyCommit)
                return .sendFinalDot
            }
            return .sendContent
        }
        if reply.isPositive {
            self.endsConnection = true
        }
        return .finished(self.results(filledWith: self.failure(reply, at: .data)))
    }

    /// A reply while the content is under way: only a refusal makes sense, and the connection cannot go on.
    private mutating func receiveUnasked(_ reply: Reply) -> Step {
        self.endsConnection = true
        return .finished(self.results(filledWith: self.failure(reply, at: .data)))
    }

    private func failure(_ reply: Reply, at stage: ClientStage) -> ClientFailure {
        let isFailure = reply.isTransientFailure || reply.isPermanentFailure
        return ClientFailure(stage, isFailure ? .reply(reply) : .protocolError("unexpected \(reply)"))
    }

    private mutating func fillMissing(with failure: ClientFailure) {
        self.results = self.results.map { $0 ?? .failed(failure) }
    }

    private func results(filledWith failure: ClientFailure) -> [RecipientResult] {
        self.results.map { $0 ?? .failed(failure) }
    }

    private static func stage(of expected: Expected) -> ClientStage {
        switch expected {
        case .reset, .mail: .mail
        case .recipient: .rcpt
        case .data, .emptyCommit: .data
        case .commit: .commit
        }
    }
}

extension MailTransaction {
    /// Why this server cannot carry the message at all; nil when it can.
    ///
    /// `isProtected` means that the connection is encrypted and the server has proved who it is.
    func obstacle(at extensions: OfferedExtensions, isProtected: Bool) -> ClientFailure? {
        if self.needsSMTPUTF8, !extensions.smtpUTF8 {
            return ClientFailure(.mail, .notOffered("SMTPUTF8"))
        }
        if let limit = extensions.sizeLimit, self.size > limit {
            return ClientFailure(.mail, .tooLarge(limit: limit))
        }
        // RFC 8689 §4.2.1: never over a hop that does not promise the same.
        if self.parameters.requireTLS, !(isProtected && extensions.requireTLS) {
            return ClientFailure(.mail, .notOffered("REQUIRETLS"))
        }
        return nil
    }

    private var needsSMTPUTF8: Bool {
        self.parameters.smtpUTF8 || !(self.reversePath.mailbox?.isASCII ?? true)
            || self.forwardPaths.contains { !$0.mailbox.isASCII }
    }

    fileprivate func mailWords(for extensions: OfferedExtensions) -> [String] {
        var words: [String] = []
        if extensions.size {
            words.append("SIZE=\(self.size)")
        }
        // Without 8BITMIME the content goes as it is ("just send 8"): re-encoding would break DKIM signatures, and every
        // server of today takes eight bits. BINARYMIME needs BDAT, which we do not offer, so that it cannot come in.
        if extensions.eightBitMIME, self.isEightBit || self.parameters.body == .eightBitMIME {
            words.append("BODY=8BITMIME")
        }
        if self.needsSMTPUTF8 {
            words.append("SMTPUTF8")
        }
        if self.parameters.requireTLS {
            words.append("REQUIRETLS")
        }
        if extensions.deliveryStatus {
            words += self.parameters.returnContent.map { ["RET=\($0.rawValue)"] } ?? []
            words += self.parameters.envelopeID.map { ["ENVID=\($0)"] } ?? []
        }
        return words
    }
}

extension ForwardPath {
    fileprivate func recipientWords(for extensions: OfferedExtensions) -> [String] {
        guard extensions.deliveryStatus else {
            return []
        }
        let notify = self.notify.map { ["NOTIFY=\($0.parameter)"] } ?? []
        return notify + (self.originalRecipient.map { ["ORCPT=\($0)"] } ?? [])
    }
}
