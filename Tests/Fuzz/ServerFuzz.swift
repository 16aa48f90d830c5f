import MailModel
import NIOCore
import SMTPProtocol

/// What libFuzzer calls with each input; the first octet chooses what is fed with the rest.
///
/// A trap, an address error, a broken promise or twenty seconds without an end is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var input = FuzzInput(data, size)
    switch input.octet() % 4 {
    case 0, 1: fuzzDialogue(&input)
    case 2: fuzzContent(&input)
    default: fuzzInterrupted(&input)
    }
    return 0
}

/// However the octets of a client are cut into reads, they lead to the same dialogue.
private func fuzzDialogue(_ input: inout FuzzInput) {
    let flags = input.octet()
    let seed = input.octet()
    let octets = Array(input.rest)
    let transcripts = [Chunking.whole, .single, .seeded(seed)].map { chunking in
        var run = ServerRun(flags)
        run.feed(octets, chunking)
        return run.transcript
    }
    require(transcripts[0] == transcripts[1], "reads of one octet say: \(transcripts[1])\nnot: \(transcripts[0])")
    require(transcripts[0] == transcripts[2], "odd reads say: \(transcripts[2])\nnot: \(transcripts[0])")
}

/// Things that happen outside of the dialogue, at any moment: nothing traps, and no promise breaks.
private func fuzzInterrupted(_ input: inout FuzzInput) {
    var run = ServerRun(input.octet())
    while !run.isOver, !input.rest.isEmpty {
        let event = input.octet()
        switch event {
        case 0: run.session.shutdown()
        case 1: run.session.refuseContent(Reply(452, EnhancedStatusCode(4, 3, 1), "no space"))
        case 2...6: run.cut([.silence, .unread, .crowded, .memory, .guessing][Int(event) - 2])
        default:
            var octets: [UInt8] = []
            for _ in 0..<min(Int(event), input.rest.count) {
                octets.append(input.octet())
            }
            run.feed(octets, .whole)
        }
    }
}

/// One session with an owner that does what it is told, and checks it.
private struct ServerRun {
    private static let limits: SessionLimits = {
        var limits = SessionLimits()
        limits.messageSize = 1_500
        limits.recipients = 4
        limits.headerSection = 600
        limits.commandLine = 512
        limits.authenticationLine = 700
        limits.errorsBeforeDelay = 3
        limits.errorsBeforeClose = 6
        limits.commandsWithoutMail = 20
        limits.authenticationFailures = 2
        limits.transactions = 3
        return limits
    }()

    var session: ServerSession
    private(set) var transcript = ""
    private(set) var isOver = false
    private var input = ByteBuffer()
    private var content = ByteBuffer()
    private var isCollecting = false
    private var received = 0

    init(_ flags: UInt8) {
        var policy = SessionPolicy(hostname: "relay.test", qualifyDomain: "test", limits: Self.limits)
        policy.authentication = [.none, .optional, .required, .optional][Int(flags & 3)]
        policy.allowsAuthenticationWithoutTLS = flags & 4 != 0
        policy.offersSTARTTLS = flags & 8 != 0
        policy.mayRelay = flags & 16 == 0
        self.session = ServerSession(policy: policy, isTLSActive: flags & 32 != 0)
    }

    mutating func feed(_ octets: [UInt8], _ chunking: Chunking) {
        let size = chunking.sizes()
        var index = 0
        while index < octets.count, !self.isOver {
            let end = index + min(size(), octets.count - index)
            self.input.writeBytes(octets[index..<end])
            self.received += end - index
            index = end
            guard self.process() else {
                // What came with STARTTLS is thrown away; how much that is depends on reads, so a 0xFE says where TLS begins.
                let consumed = index - self.input.readableBytes
                self.input.clear()
                index = (octets[consumed...].firstIndex(of: 0xFE) ?? octets.count - 1) + 1
                self.session.tlsDidStart()
                continue
            }
        }
        require(self.transcript.utf8.count <= 4_096 + 64 * self.received, "output without bound")
        require(self.input.readableBytes <= Self.limits.authenticationLine, "input is kept without bound")
    }

    mutating func cut(_ reason: SessionCut) {
        if let action = self.session.cut(reason) {
            _ = self.obey(action)
        }
    }

    /// False when TLS begins.
    private mutating func process() -> Bool {
        while let action = self.session.next(&self.input, content: &self.content) {
            require(!self.isOver, "an action after the end: \(action)")
            if !self.obey(action) {
                return false
            }
        }
        require(self.isCollecting || self.content.readableBytes == 0, "content that nobody waits for")
        return true
    }

    private mutating func obey(_ action: SessionAction) -> Bool {
        switch action {
        case .send(let reply), .sendDelayed(let reply), .refuse(let reply, _):
            self.say(reply)
        case .startTLS(let reply):
            require(!self.session.isTLSActive, "TLS in TLS")
            self.say(reply)
            return false
        case .authenticate(let credentials):
            require(self.session.isWaiting, "credentials, and nobody waits")
            let isRight = credentials.password == "secret"
            return self.obey(self.session.authenticationFinished(success: isRight))
        case .beginContent(let envelope, let reply):
            self.begin(envelope)
            reply.map { self.say($0) }
        case .submit:
            return self.obey(self.submit())
        case .dropContent(let reply):
            self.drop()
            require(reply.code >= 250, "\(reply)")
            self.say(reply)
        case .close(let reply, let end):
            self.drop()
            self.say(reply)
            self.transcript += "closed: \(end.rawValue)\n"
            self.isOver = true
            self.input.clear()
        }
        return true
    }

    private mutating func begin(_ envelope: Envelope) {
        require(!self.isCollecting, "content inside of content")
        require((1...Self.limits.recipients).contains(envelope.forwardPaths.count), "recipients without bound")
        require(self.session.envelopeSize > 0, "an envelope without size")
        self.isCollecting = true
        self.transcript += "from \(envelope.reversePath) to \(envelope.forwardPaths.map(\.mailbox))\n"
    }

    private mutating func submit() -> SessionAction {
        require(self.isCollecting, "a message without content")
        let octets = Array(self.content.readableBytesView)
        require(octets.count == self.session.contentSize, "content of another size than was counted")
        require(octets.count <= Self.limits.messageSize, "content over the limit")
        require((self.session.headerLength ?? 0) <= octets.count, "a header longer than the content")
        require(self.session.isEightBit == octets.contains { $0 > 127 }, "wrong about eight bits")
        checkLines(octets)
        self.transcript += "content \(String(decoding: octets, as: UTF8.self))\n"
        self.drop()
        let isTaken = octets.count % 3 != 0
        return self.session.submissionFinished(Reply(isTaken ? 250 : 451, nil, "done"))
    }

    private mutating func drop() {
        self.isCollecting = false
        self.content.clear()
    }

    /// A reply is lines of text, each with the code, as RFC 5321 §4.2 and §4.5.3.1.5 have it.
    private mutating func say(_ reply: Reply) {
        var written = ByteBuffer()
        ReplyWriter.write(reply, to: &written)
        let octets = Array(written.readableBytesView)
        checkLines(octets)
        require(octets.suffix(2) == [0x0D, 0x0A], "a reply without end")
        for line in octets.split(separator: 0x0A) {
            require(line.count <= 511, "a reply line of \(line.count) octets")
            require(line.prefix(3).elementsEqual("\(reply.code)".utf8), "a reply without code")
        }
        self.transcript += String(decoding: octets, as: UTF8.self)
    }
}

/// No NUL, and CR and LF in pairs only.
private func checkLines(_ octets: [UInt8]) {
    for (index, octet) in octets.enumerated() {
        switch octet {
        case 0: require(false, "a NUL")
        case 0x0D: require(index + 1 < octets.count && octets[index + 1] == 0x0A, "a bare CR")
        case 0x0A: require(index > 0 && octets[index - 1] == 0x0D, "a bare LF")
        default: break
        }
    }
}

/// The content reader finds what a plain reading line by line finds; and what our client writes, it reads.
private func fuzzContent(_ input: inout FuzzInput) {
    let seed = input.octet()
    let octets = Array(input.rest)
    let expected = PlainReading(octets)
    for chunking in [Chunking.whole, .single, .seeded(seed)] {
        let (reader, content, rest) = read(octets, chunking)
        require((rest != nil) == (expected.rest != nil), "the end of the content is seen in one reading only")
        guard let rest else {
            continue
        }
        require(rest == expected.rest, "the content ends elsewhere")
        require((reader.flaw != nil) == expected.isFlawed, "a flaw is seen in one reading only")
        require(reader.isEightBit == expected.content.contains { $0 > 127 }, "wrong about eight bits")
        if !expected.isFlawed {
            require(content == expected.content, "other content")
            require(reader.size == content.count, "content of another size than was counted")
            require(reader.headerLength == expected.headerLength, "another header")
        }
    }
    checkRoundTrip(octets, seed)
}

private func read(_ octets: [UInt8], _ chunking: Chunking) -> (ContentReader, [UInt8], rest: [UInt8]?) {
    var reader = ContentReader()
    var content = ByteBuffer()
    var index = 0
    let size = chunking.sizes()
    while index < octets.count {
        let end = index + min(size(), octets.count - index)
        var buffer = ByteBuffer(bytes: octets[index..<end])
        index = end
        if reader.readData(&buffer, into: &content) {
            return (reader, Array(content.readableBytesView), Array(buffer.readableBytesView) + octets[index...])
        }
        require(buffer.readableBytes == 0, "content is left over")
    }
    return (reader, Array(content.readableBytesView), nil)
}

private func checkRoundTrip(_ octets: [UInt8], _ seed: UInt8) {
    var wires: [[UInt8]] = []
    for chunking in [Chunking.whole, .single, .seeded(seed)] {
        var encoder = DotStuffingEncoder()
        var wire = ByteBuffer()
        var index = 0
        let size = chunking.sizes()
        while index < octets.count {
            let end = index + min(size(), octets.count - index)
            encoder.write(ByteBuffer(bytes: octets[index..<end]), to: &wire)
            index = end
        }
        encoder.finish(to: &wire)
        wires.append(Array(wire.readableBytesView))
    }
    require(wires[0] == wires[1] && wires[0] == wires[2], "dots are stuffed by reads")
    let (reader, content, rest) = read(wires[0], .whole)
    require(rest == [], "our own content does not end where it ends")
    require(reader.flaw == nil || reader.flaw == .nul && octets.contains(0), "our own content has a flaw")
    if reader.flaw == nil, !octets.contains(0x0D), !octets.contains(0x0A) {
        require(content == octets + (octets.isEmpty ? [] : [0x0D, 0x0A]), "content changes on its way")
    }
}

/// RFC 5321 §4.5.2, written for reading and not for speed.
private struct PlainReading {
    private(set) var content: [UInt8] = []
    private(set) var isFlawed = false
    private(set) var headerLength: Int?
    /// What stands behind the final dot; nil when there is none.
    private(set) var rest: [UInt8]?

    init(_ octets: [UInt8]) {
        var start = 0
        while let end = Self.lineEnd(in: octets, from: start) {
            var line = octets[start..<end]
            start = end + 2
            if line == [0x2E] {
                self.rest = Array(octets[start...])
                return
            }
            if line.first == 0x2E {
                line = line.dropFirst()
            }
            self.isFlawed = self.isFlawed || line.contains { $0 == 0 || $0 == 0x0D || $0 == 0x0A }
            self.content += line + [0x0D, 0x0A]
            if line.isEmpty {
                self.headerLength = self.headerLength ?? self.content.count
            }
        }
    }

    private static func lineEnd(in octets: [UInt8], from start: Int) -> Int? {
        var index = start
        while index + 1 < octets.count {
            if octets[index] == 0x0D, octets[index + 1] == 0x0A {
                return index
            }
            index += 1
        }
        return nil
    }
}
