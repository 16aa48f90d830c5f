import DNSProtocol
import MailModel

/// What libFuzzer calls with each input; the first octet chooses what is fed with the rest.
///
/// A trap, an address error, a broken promise or twenty seconds without an end is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var input = FuzzInput(data, size)
    let choice = input.octet()
    let rest = Array(input.rest)
    switch choice % 4 {
    case 0: fuzzMessage(rest)
    case 1: fuzzMachine(rest)
    case 2: fuzzTexts(rest)
    default: fuzzChain(rest)
    }
    return 0
}

/// Octets as a message: whatever is in it can be read, written down and read again.
private func fuzzMessage(_ octets: [UInt8]) {
    guard let message = try? MessageDecoder.decode(octets) else {
        return
    }
    let records = message.answers + message.authorities
    require(records.count <= MessageDecoder.recordLimit, "more records than the limit")
    for record in records {
        checkName(record.name)
        _ = record.data.description
        switch record.data {
        case .name(let name), .mailExchanger(_, let name): checkName(name)
        case .address, .text, .tlsAssociation, .startOfAuthority, .raw: break
        }
    }
    _ = message.flags + message.extendedErrors.map(\.description).joined()
    for question in message.questions {
        checkName(question.name)
        for sentEDNS in [false, true] {
            let meaning = Interpretation(message, to: question, id: message.id, sentEDNS: sentEDNS)
            _ = meaning?.summary
            require(meaning.map { !($0.hasRecords && $0.isNegative) } ?? true, "records and none of them")
        }
        _ = Interpretation.canonicalName(of: question.name, in: message)
        let query = QueryEncoder.encode(question, id: message.id, .init(isPadded: true))
        let again = try? MessageDecoder.decode(query)
        require(again?.questions == [question] && again?.id == message.id, "a query that is not read as it was written")
        require(query.count % 128 == 0, "a query of odd length")
    }
}

/// A name in text form is the same name again.
private func checkName(_ name: DomainName) {
    let text = name.description
    require(name.labels.reduce(1) { $0 + $1.count + 1 } <= 255, "a name over 255 octets")
    require(DomainName(text) == name, "\(text) is read as another name")
}

/// Any order of events: a lookup asks nobody twice, never asks after its end, and ends when all were heard.
private func fuzzMachine(_ octets: [UInt8]) {
    var input = octets[...]
    let count = Int(input.popFirst() ?? 0) % 9
    let rules: [LookupMachine.NegativeRule] = [.first, .agreement, .caution]
    let rule = rules[Int(input.popFirst() ?? 0) % 3]
    let sources = (0..<count).map { _ in
        let traits = input.popFirst() ?? 0
        return LookupMachine.Source(
            witness: "\(traits % 4)",
            party: traits & 8 != 0 ? "system" : nil,
            validates: traits & 16 != 0,
            isDoubtful: traits & 32 != 0,
            confirms: traits & 64 != 0,
            isEncrypted: traits & 128 != 0
        )
    }
    var run = Run(LookupMachine(sources: sources, rule: rule), count)
    while !run.isOver, let event = input.popFirst() {
        run.step(event) { meaning(of: input.popFirst() ?? 0) }
    }
    run.finish()
}

/// One lookup, and what it has promised.
private struct Run {
    private var machine: LookupMachine
    private let count: Int
    private var asked: [Int] = []
    private var checking: [Int] = []
    private var everAsked: Set<Int> = []
    private var given: Int?
    private(set) var verdict: LookupMachine.Verdict?

    var isOver: Bool { self.verdict != nil }

    init(_ machine: LookupMachine, _ count: Int) {
        self.machine = machine
        self.count = count
        self.obey(self.machine.start())
    }

    mutating func step(_ event: UInt8, _ answer: () -> Interpretation) {
        switch event % 8 {
        case 0: self.obey(self.machine.deadlineReached())
        case 1 where event == 0xF9: self.obey(self.machine.patienceElapsed())
        case 1: self.obey(self.machine.headStartElapsed(Int(event >> 3)))
        case 2 where !self.checking.isEmpty:
            let index = self.checking.remove(at: Int(event >> 4) % self.checking.count)
            self.obey(self.machine.checked(index, isBogus: event & 8 != 0))
        case 3:
            self.obey(self.machine.answered(Int(event >> 3), .failed(.garbage)))
            self.asked.removeAll { $0 == Int(event >> 3) }
        default:
            guard !self.asked.isEmpty else {
                return
            }
            let index = self.asked.remove(at: Int(event >> 4) % self.asked.count)
            self.obey(self.machine.answered(index, answer(), isAuthenticated: event & 8 != 0))
        }
    }

    /// All that are still out fail: then there must be a verdict, and silence behind it.
    mutating func finish() {
        while !self.isOver, let index = self.asked.popLast() {
            self.obey(self.machine.answered(index, .failed(.silence)))
        }
        while !self.isOver, let index = self.checking.popLast() {
            self.obey(self.machine.checked(index, isBogus: false))
        }
        while !self.isOver, let index = self.asked.popLast() {
            self.obey(self.machine.answered(index, .failed(.silence)))
        }
        require(self.isOver, "a lookup without an end")
        require(self.machine.deadlineReached().isEmpty, "something happens after the end")
    }

    private mutating func obey(_ actions: [LookupMachine.Action]) {
        for action in actions {
            require(!self.isOver, "an action after the end")
            switch action {
            case .ask(let index):
                require((0..<self.count).contains(index), "nobody is asked")
                require(self.everAsked.insert(index).inserted, "somebody is asked twice")
                self.asked.append(index)
            case .askUnchecked(let index):
                require(self.everAsked.contains(index), "somebody is checked who was not asked")
                self.checking.append(index)
            case .armHeadStart, .armPatience:
                break
            case .give(let index):
                require(self.everAsked.contains(index), "the answer of somebody who was not asked is given")
                require(self.given == nil, "an answer is given twice")
                self.given = index
            case .finish(let verdict):
                if case .answer(let index) = verdict {
                    require(self.everAsked.contains(index), "the answer of somebody who was not asked")
                }
                self.verdict = verdict
            }
        }
    }
}

private func meaning(of octet: UInt8) -> Interpretation {
    switch octet % 8 {
    case 0: .records([.text([])], timeToLive: 60)
    case 1: .noData(timeToLive: 5)
    case 2: .noSuchName(timeToLive: 5)
    case 3: .failed(.code(.serverFailure))
    case 4: .failed(.code(.serverFailure, ExtendedError(rawValue: UInt16(octet >> 3))))
    case 5: .failed(.silence)
    case 6: .alias(.root, timeToLive: 1)
    default: .truncated
    }
}

/// What operators and files write.
private func fuzzTexts(_ octets: [UInt8]) {
    let text = String(decoding: octets, as: UTF8.self)
    if let source = try? DNSSource(text) {
        require((try? DNSSource(source.description)) == source, "\(source) is read as another source")
        _ = source.witness
    }
    require(ResolvConf(text).servers.count <= 8, "too many servers")
    if let name = DomainName(text) {
        checkName(name)
    }
}

/// Answers of several sources to one question, whose sections are the input: each is interpreted, aliases are followed in
/// the next one, and all of it drives a lookup.
private func fuzzChain(_ octets: [UInt8]) {
    guard let name = DomainName("shop.test") else {
        return
    }
    var input = octets[...]
    let question = Question(.mx, name)
    var run = Run(
        LookupMachine(
            sources: ["a", "b", "c", "a"].map { LookupMachine.Source(witness: $0) },
            rule: .agreement
        ),
        4
    )
    while !run.isOver, !input.isEmpty {
        var asked = question
        var meaning = nextAnswer(to: asked, &input)
        var aliases = 0
        while case .alias(let target, let timeToLive) = meaning, aliases < 8 {
            aliases += 1
            asked.name = target
            meaning = nextAnswer(to: asked, &input).limited(to: timeToLive)
        }
        run.step(4) { meaning }
    }
    run.finish()
}

/// Two octets of length, two of flags, six of counts, then what stands behind the question.
private func nextAnswer(to question: Question, _ input: inout ArraySlice<UInt8>) -> Interpretation {
    let length = Int(input.popFirst() ?? 0) << 8 | Int(input.popFirst() ?? 0)
    let part = Array(input.prefix(max(8, length % 1_500)))
    input = input.dropFirst(part.count)
    guard part.count >= 8 else {
        return .failed(.garbage)
    }
    var message: [UInt8] = [0x12, 0x34, part[0] | 0x80, part[1], 0, 1] + part[2..<8]
    for label in question.name.labels {
        message.append(UInt8(label.count))
        message += label
    }
    message += [0, UInt8(question.type.rawValue >> 8), UInt8(question.type.rawValue & 255), 0, 1] + part[8...]
    guard let decoded = try? MessageDecoder.decode(message),
        let meaning = Interpretation(decoded, to: question, id: 0x1234, sentEDNS: true)
    else {
        return .failed(.garbage)
    }
    return meaning
}
