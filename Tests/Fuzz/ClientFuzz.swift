import MailModel
import NIOCore
import SMTPProtocol

/// What libFuzzer calls with each input: two octets of circumstances, one that cuts reads, then what a server says.
///
/// A trap, an address error, a broken promise or twenty seconds without an end is a finding.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var input = FuzzInput(data, size)
    let (flags, mail, seed) = (input.octet(), input.octet(), input.octet())
    let octets = Array(input.rest)
    let transcripts = [Chunking.whole, .single, .seeded(seed)].map { chunking in
        var run = ClientRun(flags, mail)
        run.feed(octets, chunking)
        run.finish()
        return run.transcript
    }
    require(transcripts[0] == transcripts[1], "reads of one octet say: \(transcripts[1])\nnot: \(transcripts[0])")
    require(transcripts[0] == transcripts[2], "odd reads say: \(transcripts[2])\nnot: \(transcripts[0])")
    return 0
}

/// One connection with an owner that does what it is told, and checks it.
private struct ClientRun {
    private(set) var transcript = ""
    private let requiresTLS: Bool
    private let allowsClearTextLogin: Bool
    private let mail: MailTransaction
    private var session: ClientSession
    private var parser = ReplyParser()
    private var input = ByteBuffer()
    private var replies = 0
    private var commands = 0
    private var transactions = 0
    private var isRunning = false
    private var contentSent = false
    private var isOver = false

    init(_ flags: UInt8, _ mail: UInt8) {
        self.requiresTLS = flags & 3 == 2
        self.allowsClearTextLogin = flags & 32 != 0
        let mechanisms: [[ClientMechanism]] = [[], [.plain, .login], [.cramMD5], [.xoauth2]]
        let chosen = mechanisms[Int(flags >> 3 & 3)]
        let login = ClientLogin(username: "app", secret: "secret", mechanisms: chosen) { key, text in key + text }
        self.session = ClientSession(
            ClientSession.Configuration(
                name: "gateway.test",
                startTLS: [.never, .ifOffered, .required, .ifOffered][Int(flags & 3)],
                isEncrypted: flags & 4 != 0,
                authenticatesServer: flags & 64 != 0,
                login: chosen.isEmpty ? nil : login,
                allowsClearTextLogin: self.allowsClearTextLogin,
                refusesOwnName: flags & 128 != 0
            )
        )
        self.mail = Self.transaction(mail)
    }

    private static func transaction(_ octet: UInt8) -> MailTransaction {
        var parameters = MailParameters()
        parameters.smtpUTF8 = octet & 16 != 0
        parameters.requireTLS = octet & 32 != 0
        parameters.envelopeID = octet & 64 != 0 ? "id+2Bx" : nil
        let names = ["a", "b.c", "\"d e\"", "bad\r\nRCPT TO:<evil", "é", "f>g", "h", "i"]
        return MailTransaction(
            reversePath: octet & 8 != 0 ? .null : .mailbox(Mailbox(localPart: "app", domain: MailDomain("x.test"))),
            parameters: parameters,
            forwardPaths: names.prefix(Int(octet & 7) + 1)
                .map { ForwardPath(mailbox: Mailbox(localPart: $0, domain: MailDomain("y.test")), notify: [.failure]) },
            size: 1_000,
            isEightBit: octet & 128 != 0
        )
    }

    mutating func feed(_ octets: [UInt8], _ chunking: Chunking) {
        let size = chunking.sizes()
        var index = 0
        while index < octets.count, !self.isOver {
            let end = index + min(size(), octets.count - index)
            self.input.writeBytes(octets[index..<end])
            index = end
            guard self.process() else {
                // What came with the reply to STARTTLS is thrown away; a 0xFE says where TLS begins.
                let consumed = index - self.input.readableBytes
                self.input.clear()
                index = (octets[consumed...].firstIndex(of: 0xFE) ?? octets.count - 1) + 1
                self.obey(self.session.tlsEstablished())
                continue
            }
        }
        require(self.commands <= (self.replies + 2) * 16, "commands without bound")
        require(self.isOver || self.input.readableBytes <= ReplyParser.lineLimit + 1, "input is kept without bound")
    }

    /// The server says no more.
    mutating func finish() {
        if !self.isOver {
            self.obey(self.session.interrupted(by: .lost("the end"), dotMayHaveLeft: true))
            self.isOver = true
        }
        require(!self.isRunning, "a transaction without an outcome")
        require(self.session.quit() == .close, "goodbye to nobody")
    }

    /// False when TLS begins.
    private mutating func process() -> Bool {
        while !self.isOver {
            let reply: Reply
            do {
                guard let next = try self.parser.next(from: &self.input) else {
                    return true
                }
                reply = next
            } catch {
                self.transcript += "\(error.rawValue)\n"
                self.obey(
                    self.session.interrupted(by: .protocolError(error.rawValue), dotMayHaveLeft: self.contentSent)
                )
                self.isOver = true
                return true
            }
            self.replies += 1
            self.check(reply)
            let action = self.session.receive(reply)
            if action == .startTLS {
                require(!self.session.isEncrypted, "TLS in TLS")
                self.transcript += "TLS\n"
                return false
            }
            self.obey(action)
        }
        return true
    }

    private func check(_ reply: Reply) {
        require((200..<600).contains(reply.code), "no code of SMTP")
        require((1...ReplyParser.maximumLines).contains(reply.lines.count), "lines without bound")
        require(reply.lines.allSatisfy { $0.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }, "control characters")
        // Octets that are no UTF-8 become three each.
        require(reply.lines.reduce(0) { $0 + $1.utf8.count } <= 3 * ReplyParser.replyLimit, "a reply without bound")
        _ = self.session.stage
    }

    private mutating func obey(_ action: ClientSession.Action) {
        switch action {
        case .wait: break
        case .send(let commands): commands.forEach { self.write($0) }
        case .startTLS: require(false, "TLS without a reply")
        case .ready: self.begin()
        case .sendContent:
            require(self.isRunning && !self.contentSent, "content that nobody asked for")
            self.transcript += "content\n"
            self.contentSent = true
            self.session.contentSent()
        case .sendFinalDot:
            require(self.isRunning && !self.contentSent, "a dot that nobody asked for")
            self.transcript += "dot\n"
        case .finished(let results): self.end(results)
        case .fail(let failure):
            require(!self.isRunning, "the session fails beside its transaction")
            self.transcript += "failed: \(failure)\n"
            self.isOver = true
        case .close:
            self.transcript += "closed\n"
            self.isOver = true
        }
    }

    private mutating func begin() {
        require(self.session.isReusable, "ready and not reusable")
        require(self.session.isEncrypted || !self.requiresTLS, "mail in clear text")
        self.isRunning = true
        self.contentSent = false
        self.transactions += 1
        self.obey(self.session.begin(self.mail))
    }

    private mutating func end(_ results: [RecipientResult]) {
        require(self.isRunning, "the outcome of nothing")
        require(results.count == self.mail.forwardPaths.count, "not one outcome for each recipient")
        for result in results {
            switch result {
            case .accepted(let reply):
                require(self.contentSent && reply.isPositive, "accepted without content")
            case .failed(let failure):
                require(!failure.mayHaveBeenAccepted || self.contentSent, "ambiguous without content")
            }
        }
        self.transcript += "\(results)\n"
        self.isRunning = false
        if self.session.isReusable, self.transactions < 3 {
            self.begin()
        } else {
            self.obey(self.session.quit())
        }
    }

    private mutating func write(_ command: ClientCommand) {
        self.commands += 1
        switch command {
        case .auth, .authResponse:
            require(self.session.isEncrypted || self.allowsClearTextLogin, "AUTH in clear text")
        case .mail, .recipient, .data:
            require(self.session.isEncrypted || !self.requiresTLS, "mail in clear text")
        case .ehlo, .helo, .startTLS, .reset, .quit: break
        }
        var line = ByteBuffer()
        do {
            try command.write(to: &line)
        } catch {
            require(false, "a command that cannot be written: \(error.rawValue)")
        }
        let octets = Array(line.readableBytesView)
        require(octets.suffix(2) == [0x0D, 0x0A], "a command without end")
        require(octets.dropLast(2).allSatisfy { $0 != 0x0D && $0 != 0x0A && $0 != 0 }, "two commands in one")
        self.transcript += String(decoding: octets, as: UTF8.self)
    }
}
